use super::*;
use crate::conformance::{Fixture, model};
use proptest::prelude::*;

fn make(_test: &str) -> std::future::Ready<Fixture> {
    std::future::ready(Fixture {
        store: Arc::new(MemStore::default()),
        keep: Box::new(()),
    })
}

crate::conformance_tests!(make);

proptest! {
    // Mostly a test of the script: its steps make sense, and many of them do something.
    #[test]
    fn a_script_can_be_repeated(numbers in prop::collection::vec(any::<u64>(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (a, b): (Arc<dyn Store>, Arc<dyn Store>) = (Arc::new(MemStore::default()), Arc::new(MemStore::default()));
            model::both_answer_alike(&numbers, &a, &b).await;
        });
    }
}

#[tokio::test]
async fn clones_share_their_state() {
    let one = MemStore::default();
    let other = one.clone();
    let key = Key::new(Kind::Pool, "p", "a");
    let write = Write::Put {
        key: key.clone(),
        body: Arc::from("x"),
        expect: crate::Expect::Absent,
    };
    one.commit(Batch {
        writes: vec![write],
        ..Batch::default()
    })
    .await
    .unwrap();
    assert!(other.get(&key).await.unwrap().is_some());
}
