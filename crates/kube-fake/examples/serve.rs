//! The fake cluster on a socket, to try programs on: `cargo run -p poolkeeper-kube-fake --example serve -- ADDRESS NODES`.
//!
//! It prints a kubeconfig. Everybody is the controller's own service account.

use clock::{Clock, SystemClock};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poolkeeper_kube_fake::{FakeCluster, FakeServer, NodeSpec};
use std::sync::Arc;
use tokio::net::TcpListener;
use tower::{BoxError, Service};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let nodes: usize = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let cluster = FakeCluster::new(Arc::new(SystemClock) as Arc<dyn Clock>, 1);
    for number in 0..nodes {
        let zone = format!("az-{}", number % 2 + 1);
        cluster.add_node(&NodeSpec::new(&format!("gpu-{number:02}"), "a100-8x80", &zone).with_accelerators("nvidia.com/gpu", 8));
    }
    let server = cluster.server_as("system:serviceaccount:poolkeeper-system:poolkeeper");
    let listener = TcpListener::bind(address).await?;
    println!("{}", kubeconfig(&format!("http://{}", listener.local_addr()?)));
    loop {
        let (stream, _) = listener.accept().await?;
        let server = server.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(server.clone(), request));
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
    }
}

async fn answer(
    mut server: FakeServer,
    request: Request<Incoming>,
) -> Result<http::Response<impl http_body::Body<Data = bytes::Bytes, Error = BoxError>>, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    server.call(Request::from_parts(parts, kube::client::Body::from(body))).await
}

fn kubeconfig(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: fake\nclusters:\n- name: fake\n  cluster: {{server: \"{url}\"}}\n\
         users:\n- name: fake\n  user: {{}}\ncontexts:\n- name: fake\n  context: {{cluster: fake, user: fake}}"
    )
}
