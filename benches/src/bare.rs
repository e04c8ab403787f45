//! The ceiling of reads: a handler behind the same HTTP library and the same connection loop that returns bytes which are
//! already there, with the headers that the API sends.

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response};
use axum::routing::get;
use clap::Args;
use clock::SystemClock;
use http_api::Listening;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// What is measured, with the same parameters as the API's own routes.
const PATHS: [&str; 6] = [
    "/v2/{project_id}/pools",
    "/v2/{project_id}/pools/{pool_name}",
    "/v2/{project_id}/pools/{pool_name}/nodes",
    "/v2/{project_id}/pools/{pool_name}/workloads",
    "/v2/{project_id}/statistics/pools/{pool_name}/workloads",
    "/v1/{project_id}/events",
];

#[derive(Debug, Args)]
pub struct BareArguments {
    #[arg(long)]
    listen: SocketAddr,
    /// The body of every answer.
    #[arg(long)]
    body: PathBuf,
    /// `name: value`
    #[arg(long)]
    header: Vec<String>,
}

/// Serves until the process is ended.
pub fn serve(arguments: &BareArguments) -> Result<()> {
    let body = Bytes::from(std::fs::read(&arguments.body)?);
    let headers = arguments
        .header
        .iter()
        .map(|line| {
            let (name, value) = line.split_once(": ").context("a header without a value")?;
            Ok((HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let answer = move || {
        let (body, headers) = (body.clone(), headers.clone());
        async move {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().extend(headers);
            response
        }
    };
    let routes = PATHS
        .iter()
        .fold(Router::new(), |routes, path| routes.route(path, get(answer.clone())));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await?;
        http_api::serve::serve_router(Listening::plain(listener, Arc::new(SystemClock)), routes, std::future::pending()).await;
        Ok(())
    })
}
