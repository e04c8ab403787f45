//! What stands between a replica and its database, so that the line between them can be cut, slowed and stopped.

use crate::breathe;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Good,
    /// Every connection is closed, and so is every new one.
    Cut,
    /// Everything comes so much later.
    Slow(Duration),
    /// Nothing comes through, and nobody is told.
    Silent,
}

/// Where the database is.
#[derive(Debug, Clone)]
enum Target {
    Tcp(String),
    Unix(PathBuf),
}

pub struct Proxy {
    pub address: SocketAddr,
    line: watch::Sender<Line>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// To the server of a database's URL.
    pub async fn to(url: &str) -> Result<Self> {
        let target = target(url)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let line = watch::Sender::new(Line::Good);
        let seen = line.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target.clone(), seen.clone()));
            }
        });
        Ok(Self { address, line, task })
    }

    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// The URL of the database by way of this.
    pub fn url(&self, url: &str) -> Result<String> {
        let (scheme, rest) = url.split_once("://").context("no scheme")?;
        let (host, path) = rest.split_once('/').context("no database")?;
        let user = host.rsplit_once('@').map_or("postgres", |(user, _)| user);
        let database = path.split('?').next().unwrap_or_default();
        Ok(format!("{scheme}://{user}@{}/{database}", self.address))
    }
}

fn target(url: &str) -> Result<Target> {
    if let Some((_, folder)) = url.split_once("host=") {
        let folder = folder.split('&').next().unwrap_or_default();
        return Ok(Target::Unix(PathBuf::from(folder).join(".s.PGSQL.5432")));
    }
    let host = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split('/').next())
        .context("no host")?;
    let host = host.rsplit('@').next().unwrap_or(host);
    let has_port = host.contains(':');
    Ok(Target::Tcp(if has_port { host.to_owned() } else { format!("{host}:5432") }))
}

async fn carry(client: TcpStream, target: Target, line: watch::Receiver<Line>) {
    if *line.borrow() == Line::Cut {
        return;
    }
    let (from, to) = client.into_split();
    let mut cut = line.clone();
    let both = async {
        match target {
            Target::Tcp(address) => {
                let (back, forth) = TcpStream::connect(address).await?.into_split();
                tokio::try_join!(copy(from, forth, line.clone()), copy(back, to, line))
            }
            Target::Unix(path) => {
                let (back, forth) = UnixStream::connect(path).await?.into_split();
                tokio::try_join!(copy(from, forth, line.clone()), copy(back, to, line))
            }
        }
    };
    // Whatever ends it ends both directions.
    tokio::select! {
        _ended = both => {}
        _cut = cut.wait_for(|line| *line == Line::Cut) => {}
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut line: watch::Receiver<Line>) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let now = *line.borrow();
        match now {
            Line::Good | Line::Cut => {}
            Line::Slow(delay) => breathe(delay).await,
            Line::Silent => drop(line.wait_for(|line| *line != Line::Silent).await),
        }
        to.write_all(&buffer[..read]).await?;
    }
}
