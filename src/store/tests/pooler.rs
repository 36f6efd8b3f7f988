//! Behind a pooler that hands out connections by the transaction nothing is heard of changes, and nobody says so.
use super::*;
use std::{
    io,
    path::{Path, PathBuf},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

/// PostgreSQL's message of a notification.
const NOTIFICATION: u8 = b'A';

/// As that pooler: passes everything on but notifications.
async fn deaf(listener: TcpListener, socket: PathBuf) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let server = UnixStream::connect(&socket).await.unwrap();
        connections.spawn(pass_on(client, server));
    }
}

async fn pass_on(mut client: TcpStream, mut server: UnixStream) -> io::Result<()> {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
    let back = async {
        loop {
            let (kind, length) = (from_server.read_u8().await?, from_server.read_u32().await?);
            let mut body = vec![0; length as usize - 4];
            from_server.read_exact(&mut body).await?;
            if kind != NOTIFICATION {
                to_client.write_all(&[&[kind][..], &length.to_be_bytes(), &body].concat()).await?;
            }
        }
    };
    tokio::select! {
        there = tokio::io::copy(&mut from_client, &mut to_server) => there.map(drop),
        back = back => back,
    }
}

#[tokio::test]
async fn who_hears_nothing_of_changes_looks_for_them() {
    let Some(scratch) = postgres().await else { return };
    scratch.store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let url = scratch.database.url.expose();
    let (of_database, directory) = url.split_once("?host=").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(deaf(listener, Path::new(directory).join(".s.PGSQL.5432")));
    let through = database(&(of_database.replace("localhost", &format!("127.0.0.1:{port}")) + "?sslmode=disable"));
    let store = open(&through).await.unwrap();
    let (sender, mut changes) = watch::channel(Changes::default());
    let following = store.clone();
    tasks.spawn(async move { following.follow(sender).await });
    let soon = Duration::from_secs(10);
    timeout(soon, changes.wait_for(|changes| changes.followed)).await.unwrap().unwrap();
    for change in [
        "update v_voice_secretaries_realtime set secretary_name = 'Bia'",
        "insert into v_voice_tenants (domain_uuid) select domain_uuid from v_domains",
        "update v_domains set domain_enabled = false",
        "delete from v_voice_tenants",
    ] {
        let before = changes.borrow().seen;
        execute(&scratch.store, change.into()).await;
        timeout(soon, changes.wait_for(|changes| changes.seen > before))
            .await
            .unwrap_or_else(|_| panic!("{change}"))
            .unwrap();
    }
}
