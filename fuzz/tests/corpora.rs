//! Every input that a fuzzer once found worth keeping, on the stable toolchain and with whatever the code has become.
use std::{
    fs,
    path::{Path, PathBuf},
};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The name stays on the screen when the target panics.
fn run(target: fn(&[u8]), path: &Path, first: &[u8]) {
    println!("{}", path.display());
    target(&[first, &fs::read(path).unwrap()].concat());
}

fn replay(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(name);
    let inputs = files(&folder);
    assert!(!inputs.is_empty(), "{name} has no corpus");
    let (_, target) = fuzz::TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    inputs.iter().for_each(|path| run(*target, path, b""));
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_corpus_and_every_corpus_a_target() {
            let targets = fuzz::TARGETS.map(|(name, _)| name);
            assert_eq!(targets, [$(stringify!($name),)*]);
            let folders = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora"));
            let names: Vec<_> = folders.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
            assert_eq!(names, targets);
        }
    };
}

replays! { auth endpoint message rtcp rtp sdp srtp stream uri values }

/// The torture messages are kept once, with the tests that name them, and are inputs of three targets.
#[test]
fn torture_messages() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sip/src/endpoint/tests/torture");
    let messages = [files(&folder.join("rfc4475")), files(&folder.join("rfc5118"))].concat();
    assert!(messages.len() > 60, "{}", messages.len());
    let firsts: [(&str, &[u8]); 4] = [("message", b""), ("endpoint", b"d"), ("stream", b"\x01"), ("stream", b"\x40")];
    for (name, first) in firsts {
        let (_, target) = fuzz::TARGETS.iter().find(|(known, _)| *known == name).unwrap();
        messages.iter().for_each(|path| run(*target, path, first));
    }
}
