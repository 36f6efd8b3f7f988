//! Archives made here, and what becomes of them.
use super::{
    catalogue::{Model, Source, Wanted, Wheel},
    digest, install,
};
use flate2::{Compression, write::GzEncoder};
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

/// A folder that is gone when the test is.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("ramal-models-{name}-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

static PARTS: [Wheel; 2] = [
    Wheel { package: "a-part1", version: "1", member: "a/data/model.part1" },
    Wheel { package: "a-part2", version: "1", member: "a/data/model.part2" },
];

fn model(source: Source, sha256: &'static str) -> Model {
    Model { file: "stt/model.bin", purpose: "", sha256, size: 10, wanted: Wanted::ByDefault, source }
}

fn hash(bytes: &[u8]) -> &'static str {
    Box::leak(digest::of(bytes).unwrap().into_boxed_str())
}

fn wheels(folder: &Path) -> Vec<PathBuf> {
    let write = |(name, member, body): (&str, &str, &[u8])| {
        let path = folder.join(name);
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        zip.start_file(member, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(body).unwrap();
        zip.finish().unwrap();
        path
    };
    [("1.whl", "a/data/model.part1", &b"hello "[..]), ("2.whl", "a/data/model.part2", b"world")].map(write).to_vec()
}

#[test]
fn parts_are_joined_and_verified() {
    let folder = Folder::new("parts");
    let archives = wheels(folder.path());
    install::install(&model(Source::Wheels(&PARTS), hash(b"hello world")), &archives, folder.path()).unwrap();
    assert_eq!(fs::read(folder.path().join("stt/model.bin")).unwrap(), b"hello world");
}

#[test]
fn a_wrong_hash_leaves_nothing_and_keeps_what_was_there() {
    let folder = Folder::new("mismatch");
    let archives = wheels(folder.path());
    let wrong = model(Source::Wheels(&PARTS), hash(b"something else"));
    let error = install::install(&wrong, &archives, folder.path()).unwrap_err().to_string();
    assert!(error.contains("SHA-256 mismatch for stt/model.bin"), "{error}");
    let stt = folder.path().join("stt");
    assert_eq!(fs::read_dir(&stt).unwrap().count(), 0, "nothing is left");
    fs::write(stt.join("model.bin"), "older").unwrap();
    install::install(&wrong, &archives, folder.path()).unwrap_err();
    assert_eq!(fs::read(stt.join("model.bin")).unwrap(), b"older");
}

#[test]
fn an_npm_package_is_read_and_one_without_the_file_refused() {
    let folder = Folder::new("npm");
    let path = folder.path().join("p.tgz");
    let mut tar = tar::Builder::new(GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, "package/lib/tiny.bin", &b"model"[..]).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    let source = |member| Source::Npm { package: "p", version: "1", member };
    install::install(&model(source("lib/tiny.bin"), hash(b"model")), std::slice::from_ref(&path), folder.path())
        .unwrap();
    let error = install::install(&model(source("lib/large.bin"), hash(b"model")), &[path], folder.path()).unwrap_err();
    assert!(format!("{error:#}").contains("there is no lib/large.bin"), "{error:#}");
}
