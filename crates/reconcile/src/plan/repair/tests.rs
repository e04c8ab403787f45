use super::*;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(minutes * 60).unwrap()
}

fn on() -> RepairPolicy {
    RepairPolicy {
        is_on: true,
        ..RepairPolicy::default()
    }
}

fn patient() -> Patient {
    Patient {
        abnormal_since: at(0),
        repair: None,
        is_locked: false,
        abnormal: 1,
        all: 10,
    }
}

fn tried(attempts: u32, last: i64) -> Patient {
    Patient {
        repair: Some(Repair {
            attempts,
            last_at: at(last),
        }),
        ..patient()
    }
}

#[test]
fn each_attempt_does_more_than_the_one_before() {
    for (case, patient, minute, treatment) in [
        ("it may come back by itself", patient(), 4, Treatment::Wait(at(5))),
        ("first a reboot", patient(), 5, Treatment::Reboot),
        ("the reboot gets its time", tried(1, 5), 9, Treatment::Wait(at(10))),
        ("then a reset", tried(1, 5), 10, Treatment::Reset),
        ("then another machine", tried(2, 10), 15, Treatment::Replace),
        ("then nothing more", tried(3, 15), 99, Treatment::None),
        (
            "abnormal again after an attempt",
            Patient {
                abnormal_since: at(30),
                ..tried(1, 5)
            },
            31,
            Treatment::Wait(at(35)),
        ),
    ] {
        assert_eq!(treat(&patient, &on(), at(minute)), treatment, "{case}");
    }
}

#[test]
fn a_locked_node_is_not_replaced() {
    let locked = Patient {
        is_locked: true,
        ..tried(2, 10)
    };
    assert_eq!(treat(&locked, &on(), at(60)), Treatment::None);
    let locked = Patient {
        is_locked: true,
        ..patient()
    };
    assert_eq!(treat(&locked, &on(), at(60)), Treatment::Reboot);
}

#[test]
fn nothing_is_done_where_repair_is_off_or_many_are_ill() {
    let of = |abnormal, all| {
        treat(
            &Patient {
                abnormal,
                all,
                ..patient()
            },
            &on(),
            at(60),
        )
    };
    assert_eq!(treat(&patient(), &RepairPolicy::default(), at(60)), Treatment::None);
    for (abnormal, all, treatment) in [
        (1, 1, Treatment::Reboot),
        (2, 9, Treatment::None),
        (2, 10, Treatment::Reboot),
        (3, 10, Treatment::None),
        (5, 1_000, Treatment::Reboot),
        (6, 1_000, Treatment::None),
    ] {
        assert_eq!(of(abnormal, all), treatment, "{abnormal} of {all}");
    }
}

#[test]
fn fewer_attempts_leave_the_harder_ones_out() {
    let policy = RepairPolicy { attempts: 1, ..on() };
    assert_eq!(treat(&patient(), &policy, at(60)), Treatment::Reboot);
    assert_eq!(treat(&tried(1, 5), &policy, at(60)), Treatment::None);
}
