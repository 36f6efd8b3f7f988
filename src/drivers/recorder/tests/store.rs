//! A store behind a real socket: it checks what it is sent, refuses at first, and tells what it has.
use super::*;
use crate::config::{S3, Secret};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

/// What a store has, and what it still refuses.
#[derive(Default)]
struct Shelf {
    refusals: usize,
    objects: BTreeMap<String, Vec<u8>>,
}

/// Serves S3's PUT, HEAD and DELETE of an object, until the test ends.
fn store(refusals: usize) -> (SocketAddr, Arc<Mutex<Shelf>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let shelf = Arc::new(Mutex::new(Shelf { refusals, ..Shelf::default() }));
    let shared = Arc::clone(&shelf);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shelf = Arc::clone(&shared);
            std::thread::spawn(move || while answer(&stream, &shelf).is_some() {});
        }
    });
    (at, shelf)
}

/// Answers one request; `None` at the end of the connection.
fn answer(stream: &TcpStream, shelf: &Mutex<Shelf>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let headers = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
        headers.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let mut body = vec![0; header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let (method, target) = lines.first()?.split_once(' ')?;
    let (path, query) = target.split(' ').next()?.split_once('?')?;
    let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
    let signed = query.contains("X-Amz-Signature=") && query.contains("X-Amz-Credential=who");
    let response = match method {
        _ if !signed => "403 Forbidden\r\ncontent-length: 0".to_owned(),
        "PUT" if shelf.refusals > 0 => {
            shelf.refusals -= 1;
            "503 Slow Down\r\ncontent-length: 0".to_owned()
        }
        "PUT" if header("x-amz-checksum-sha256") == Some(base64(&body)) => {
            shelf.objects.insert(path.to_owned(), body);
            "200 OK\r\netag: \"x\"\r\ncontent-length: 0".to_owned()
        }
        "PUT" => "400 Bad Digest\r\ncontent-length: 0".to_owned(),
        "DELETE" => {
            shelf.objects.remove(path);
            "204 No Content\r\ncontent-length: 0".to_owned()
        }
        "HEAD" => match shelf.objects.get(path) {
            Some(kept) => {
                format!("200 OK\r\ncontent-length: {}\r\nx-amz-checksum-sha256: {}", kept.len(), base64(kept))
            }
            None => "404 Not Found\r\ncontent-length: 0".to_owned(),
        },
        _ => "405 Method Not Allowed\r\ncontent-length: 0".to_owned(),
    };
    (&mut &*stream).write_all(format!("HTTP/1.1 {response}\r\n\r\n").as_bytes()).ok()
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(Sha256::digest(bytes))
}

fn uploading(folder: &Path, at: SocketAddr) -> config::Recording {
    let s3 = S3 {
        endpoint: format!("http://{at}"),
        bucket: "bucket".into(),
        region: "us-east-1".into(),
        access_key: "who".into(),
        secret_key: Secret::new("secret"),
        prefix: "pbx/".into(),
        keep_local: false,
    };
    config::Recording { s3: Some(s3), ..config(folder, RecordingFormat::Wav) }
}

/// Records half a second; what its record says.
async fn record(recorder: &Recorder) -> Recording {
    record_as(recorder, &title("00000000-0000-0000-0000-0000000000ff")).await
}

async fn record_as(recorder: &Recorder, title: &Title) -> Recording {
    let mut sink = open(recorder, title);
    (0..25).for_each(|n| sink.push(block(n)));
    let listing = sink.listing();
    let kept = sink.finish(recording(25)).await;
    listing.safe();
    kept
}

/// A recording that waits for the store, kept by a process that ended: nothing of it tries again beside the test.
async fn left_behind(folder: &Path) -> Recording {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = uploading(folder, nobody);
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Its end waits for the threads that write and send.
        runtime.block_on(async { record(&start(config)).await })
    });
    tokio::task::spawn_blocking(move || process.join().unwrap()).await.unwrap()
}

/// A process that dies while it records, of which nothing goes on beside the test.
async fn dies_recording(folder: &Path) {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (config, part) = (uploading(folder, nobody), folder::part(&folder.join(PATH)));
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let recorder = start(config);
            let mut sink = open(&recorder, &title("00000000-0000-0000-0000-0000000000ff"));
            (0..25).for_each(|n| sink.push(block(n)));
            let header = media::recording::wav::HEADER as u64;
            until(&recorder, || fs::metadata(&part).is_ok_and(|about| about.len() > header)).await;
        });
    });
    tokio::task::spawn_blocking(move || process.join().unwrap()).await.unwrap();
}

/// Waits until nothing is listed any more.
async fn uploaded(folder: &Path) {
    let list = folder.join(".unfinished");
    let empty = async {
        while fs::read_dir(&list).unwrap().count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), empty).await.unwrap();
}

#[tokio::test]
async fn a_finished_recording_is_sent_again_until_the_store_confirms_it() {
    let (folder, (at, shelf)) = (Folder::new(), store(1));
    let recorder = start(uploading(&folder.0, at));
    let kept = record(&recorder).await;
    assert_eq!(kept.store, Some(format!("s3://bucket/pbx/{PATH}")));
    uploaded(&folder.0).await;
    let shelf = shelf.lock().unwrap();
    let object = &shelf.objects[&format!("/bucket/pbx/{PATH}")];
    assert_eq!((shelf.refusals, Some(object.len() as u64)), (0, kept.bytes));
    assert!(object.starts_with(b"RIFF") && !folder.0.join(PATH).exists());
}

/// Nothing is in the store that no conversation leads to, should the process die.
#[tokio::test]
async fn a_recording_is_sent_when_the_record_of_its_call_is_kept() {
    let (folder, (at, shelf)) = (Folder::new(), store(0));
    let recorder = start(uploading(&folder.0, at));
    let mut sink = open(&recorder, &title("00000000-0000-0000-0000-0000000000ff"));
    (0..25).for_each(|n| sink.push(block(n)));
    let listing = sink.listing();
    let kept = sink.finish(recording(25)).await;
    assert!(folder.0.join(kept.path.unwrap()).exists() && folder::closed(&folder.0).is_empty());
    listing.safe();
    uploaded(&folder.0).await;
    assert_eq!(shelf.lock().unwrap().objects.len(), 1);
}

/// With `keep_local = false` nothing on the disk says that there was a first.
#[tokio::test]
async fn a_second_conversation_of_a_call_has_an_object_of_its_own() {
    let (folder, (at, shelf)) = (Folder::new(), store(0));
    let recorder = start(uploading(&folder.0, at));
    let first = title("00000000-0000-0000-0000-0000000000ff");
    let second = Title { conversation_uuid: Uuid::from_u128(3), ..first.clone() };
    for title in [&first, &second] {
        record_as(&recorder, title).await;
        uploaded(&folder.0).await;
    }
    let objects: Vec<_> = shelf.lock().unwrap().objects.keys().cloned().collect();
    let path = format!("/bucket/pbx/{PATH}");
    assert_eq!(objects, [path.clone(), path.replace("02.wav", "03.wav")]);
}

#[tokio::test]
async fn what_waits_for_the_store_survives_a_restart() {
    let folder = Folder::new();
    left_behind(&folder.0).await;
    assert!(folder.0.join(PATH).exists());
    let entry = folder::entry(&folder.0, title("c").conversation_uuid);
    assert_eq!(fs::read_to_string(entry).unwrap(), PATH, "who called is kept elsewhere");
    let (at, shelf) = store(0);
    let _later = start(uploading(&folder.0, at));
    uploaded(&folder.0).await;
    assert!(shelf.lock().unwrap().objects.contains_key(&format!("/bucket/pbx/{PATH}")));
}

/// What a row that is erased leads to must not appear in the store afterwards.
#[tokio::test]
async fn what_is_erased_while_it_waits_for_the_store_is_never_sent() {
    let folder = Folder::new();
    let kept = left_behind(&folder.0).await;
    assert_eq!(kept.node.as_deref(), Some("here"));
    let (at, shelf) = store(0);
    let Title { domain_uuid, conversation_uuid, .. } = title("c");
    let entry = folder::entry(&folder.0, conversation_uuid);
    let sender = upload::Store::new(&uploading(&folder.0, at), uploading(&folder.0, at).s3.unwrap()).unwrap();
    // Somebody deletes it: nothing is sent meanwhile, nor after.
    let deleting = folder::hold(&entry).unwrap().unwrap();
    assert!(sender.send(&entry, PATH).is_err());
    drop(deleting);
    let eraser = Eraser::new(&uploading(&folder.0, at)).unwrap();
    let erasing = tokio::task::spawn_blocking(move || eraser.erase(domain_uuid, conversation_uuid, &kept));
    erasing.await.unwrap().unwrap();
    assert!(!entry.exists() && !folder.0.join(PATH).exists());
    tokio::task::spawn_blocking(move || sender.send(&entry, PATH)).await.unwrap().unwrap();
    assert!(shelf.lock().unwrap().objects.is_empty());
}

#[tokio::test]
async fn a_recording_that_only_the_store_has_is_noted_for_its_row() {
    let (folder, (at, _)) = (Folder::new(), store(0));
    record(&start(uploading(&folder.0, at))).await;
    uploaded(&folder.0).await;
    let noted = receipts(&folder.0);
    let [Receipt { domain_uuid, conversation_uuid, .. }] = noted.as_slice() else { panic!("{noted:?}") };
    assert_eq!((*domain_uuid, *conversation_uuid), (title("c").domain_uuid, title("c").conversation_uuid));
}

/// The process that died had another name, and no store.
#[tokio::test]
async fn the_record_of_a_killed_process_says_where_the_server_is_that_finished_it() {
    let folder = Folder::new();
    killed(&folder.0, RecordingFormat::Wav);
    let ((at, _shelf), (keeping, kept)) = (store(0), std::sync::mpsc::channel());
    let keep = move |record: &Conversation| keeping.send(record.clone()).map_err(io::Error::other);
    let _later = Recorder::start(uploading(&folder.0, at), keep).unwrap();
    uploaded(&folder.0).await;
    let recording = kept.try_recv().unwrap().recording.unwrap();
    assert_eq!((recording.node.as_deref(), recording.state), (Some("here"), State::Partial));
    assert_eq!(recording.store, Some(format!("s3://bucket/pbx/{PATH}")));
}

/// It is in the store like any other, and its conversation says so.
#[tokio::test]
async fn what_a_killed_process_recorded_comes_into_the_store_with_a_record_that_says_so() {
    let folder = Folder::new();
    dies_recording(&folder.0).await;
    assert!(folder::part(&folder.0.join(PATH)).exists() && !folder.0.join(PATH).exists());
    let ((at, shelf), (keeping, kept)) = (store(0), std::sync::mpsc::channel());
    let keep = move |record: &Conversation| keeping.send(record.clone()).map_err(io::Error::other);
    let _later = Recorder::start(uploading(&folder.0, at), keep).unwrap();
    uploaded(&folder.0).await;
    let record = kept.try_recv().unwrap();
    let recording = record.recording.unwrap();
    assert_eq!((record.caller_id.as_str(), recording.state), (CALLER, State::Partial));
    assert_eq!(recording.store, Some(format!("s3://bucket/pbx/{PATH}")));
    assert_eq!((recording.node.as_deref(), recording.path.as_deref()), (Some("here"), Some(PATH)));
    let shelf = shelf.lock().unwrap();
    let object = &shelf.objects[&format!("/bucket/pbx/{PATH}")];
    assert_eq!(recording.sha256, Some(sha256(object)));
    let noted = receipts(&folder.0);
    let [Receipt { conversation_uuid, file, .. }] = noted.as_slice() else { panic!("{noted:?}") };
    assert_eq!(*conversation_uuid, record.conversation_uuid);
    assert_eq!(fs::read_to_string(file).unwrap(), PATH);
}
