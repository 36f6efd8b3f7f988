//! The rules of the house that no compiler knows. Each rule is shown to fail on a tree that breaks it.
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The project's text files by path, `/`-separated, relative to its root.
type Tree = BTreeMap<String, String>;

/// Folders whose text is ours to keep tidy; files in the root are read too.
const FOLDERS: [&str; 10] =
    ["sip", "media", "providers", "src", "tests", "fuzz", "sipp-scenarios", "migrations", "scripts", "docs"];
const EXTENSIONS: [&str; 8] = ["rs", "toml", "xml", "sql", "sh", "md", "py", "json"];
/// Folders of the synchronous cores.
const CORES: [&str; 6] = ["sip/src/", "media/src/", "providers/src/", "src/call/", "src/tenancy/", "src/knowledge/"];
const LONGEST_FILE: usize = 700;
const LONGEST_ARCHITECTURE: usize = 200;
const MOST_FIELDS: usize = 20;
/// Structs that mirror a row of the database or list the phrases of a language, and so are as wide as that.
const WIDE: [(&str, &str); 6] = [
    ("providers/src/local/phrases.rs", "Phrases"),
    ("src/secretary.rs", "Secretary"),
    ("src/secretary.rs", "SecretaryRow"),
    ("src/record.rs", "Conversation"),
    ("src/store/", "Columns"),
    ("src/api/secretaries.rs", "SecretaryBody"),
];
/// What a core may not touch, and what it does instead.
const IMPURE: [(&str, &str); 16] = [
    ("Instant::now", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("Utc::now", "time is an argument"),
    ("tokio", "tasks and sockets are the drivers'"),
    ("UdpSocket", "bytes come in by handle_*, go out by poll_*"),
    ("TcpStream", "bytes come in by handle_*, go out by poll_*"),
    ("TcpListener", "bytes come in by handle_*, go out by poll_*"),
    ("std::thread", "a core has no threads"),
    ("thread::spawn", "a core has no threads"),
    ("Mutex", "a core has one owner"),
    ("RwLock", "a core has one owner"),
    ("mpsc", "events are polled"),
    (".await", "a core is synchronous"),
    ("async fn", "a core is synchronous"),
    ("rand::", "randomness is an argument"),
    ("std::env", "settings are arguments"),
];
const PANICS: [&str; 5] = [".unwrap()", ".expect(", "panic!(", "unreachable!(", "unsafe "];
/// Folder, what it may not name, and why.
const IMPORTS: [(&str, &str, &str); 18] = [
    ("src/call/", "sqlx", "a call decides without a database"),
    ("src/call/", "axum", "a call decides without a network"),
    ("src/call/", "crate::drivers", "drivers carry what the call decides"),
    ("src/call/", "crate::store", "the record leaves by an event"),
    ("src/call/", "crate::http", "a call decides without a network"),
    ("src/call/", "crate::cli", "a call knows no command line"),
    ("src/call/", "crate::config", "a call takes settings, not files"),
    ("src/drivers/", "sqlx", "the store is reached by a channel"),
    ("src/api/", "sqlx", "a handler reaches the store through its scope"),
    ("src/api/", "crate::drivers", "what the API needs of the server is api::House"),
    ("sip/src/", "media::", "bodies are bytes to SIP"),
    ("sip/src/", "providers::", "SIP knows no provider"),
    ("media/src/", "sip::", "media knows no signalling"),
    ("media/src/", "providers::", "media knows no provider"),
    ("providers/src/", "sip::", "a provider knows no signalling"),
    ("providers/src/", "media::rtp", "of media, providers know audio only"),
    ("providers/src/", "media::sdp", "of media, providers know audio only"),
    ("providers/src/", "media::session", "of media, providers know audio only"),
];
/// Manifest and the dependencies it may not have.
const DEPENDENCIES: [(&str, &[&str]); 3] = [
    ("sip/Cargo.toml", &["media", "providers", "ramal", "tokio", "sqlx", "axum"]),
    ("media/Cargo.toml", &["sip", "providers", "ramal", "tokio", "sqlx", "axum"]),
    ("providers/Cargo.toml", &["sip", "ramal", "tokio", "sqlx", "axum"]),
];
/// File names that name a kind of thing and not an idea.
const KINDS: [&str; 7] = ["utils.rs", "util.rs", "helpers.rs", "types.rs", "manager.rs", "common.rs", "misc.rs"];
/// This file names what it forbids.
const SELF: &str = "tests/it/tidy.rs";

/// Which test shows which clause of the RFCs.
const CONFORMANCE: &str = "docs/sip-conformance.md";

/// Everything that is not as it should be, one line each.
fn problems(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let tests = test_files(tree);
    for (path, text) in tree {
        marks(path, text, &mut found);
        if path.ends_with(".rs") && path != SELF {
            let is_test = tests.contains(path) || path.contains("/tests/") || path.starts_with("tests/");
            rust(path, text, is_test, &mut found);
        }
    }
    manifests(tree, &mut found);
    scenarios(tree, &mut found);
    papers(tree, &mut found);
    conformance(tree, &mut found);
    migrations(tree, &mut found);
    found
}

fn marks(path: &str, text: &str, found: &mut Vec<String>) {
    if path == SELF || path.ends_with(".md") {
        return;
    }
    for (number, line) in (1..).zip(text.lines()) {
        for mark in ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "TODO", "XXX"] {
            if line.contains(mark) {
                found.push(format!("{path}:{number}: {mark} is work left undone"));
            }
        }
    }
}

fn rust(path: &str, text: &str, is_test: bool, found: &mut Vec<String>) {
    let name = path.rsplit('/').next().unwrap_or(path);
    if KINDS.contains(&name) {
        found.push(format!("{path}: named after a kind of thing, not an idea"));
    }
    if !(is_test && path.contains("src/")) && name != "tests.rs" && !text.starts_with("//!") {
        found.push(format!("{path}: does not begin with what it is (//!)"));
    }
    let code = product(text);
    if !is_test && code.len() > LONGEST_FILE {
        found.push(format!("{path}: {} lines without tests, more than {LONGEST_FILE}", code.len()));
    }
    for (number, line) in (1..).zip(&code) {
        if line.starts_with("#![allow(") && (name == "lib.rs" || !line.contains("reason =")) {
            found.push(format!("{path}:{number}: a lint is allowed for a whole crate, or without a reason"));
        }
        if line.contains("fn get_") {
            found.push(format!("{path}:{number}: a getter has no get_"));
        }
        if !is_test {
            core(path, number, line, found);
        }
    }
    if !is_test {
        fields(path, &code, found);
    }
}

fn core(path: &str, number: usize, line: &str, found: &mut Vec<String>) {
    for (folder, word, reason) in IMPORTS {
        if path.starts_with(folder) && names(line, word) {
            found.push(format!("{path}:{number}: {word}: {reason}"));
        }
    }
    if !CORES.iter().any(|core| path.starts_with(core)) {
        return;
    }
    for (word, reason) in IMPURE {
        if names(line, word) {
            found.push(format!("{path}:{number}: {word} in a core: {reason}"));
        }
    }
    for word in PANICS {
        if line.contains(word) {
            found.push(format!("{path}:{number}: {word} in a core: the network cannot panic us"));
        }
    }
}

/// Whether `line` has `word` where a name begins, so that `rsip::` is not `sip::`.
fn names(line: &str, word: &str) -> bool {
    let before = |at: usize| line.get(..at).and_then(|text| text.chars().next_back());
    line.match_indices(word).any(|(at, _)| {
        !word.starts_with(char::is_alphabetic) || !before(at).is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The lines that go into the product, without comments, texts and what is under `#[cfg(test)]`.
fn product(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text.lines();
    while let Some(line) = rest.next() {
        if line != "#[cfg(test)]" {
            lines.push(plain(line));
            continue;
        }
        // Formatted items of the top level end with a brace at the margin, or on their first line.
        let ends = |line: &str| line == "}" || (!line.starts_with(['#', ')', ' ']) && line.ends_with([';', '}']));
        let skipped = rest.find(|line| ends(line));
        debug_assert!(skipped.is_some(), "an attribute stands above something");
    }
    lines
}

/// The `mod` line that the attribute above `lines` is about, over further attributes.
fn under_test<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let item = lines.iter().find(|line| !line.starts_with(['#', ')', ' ']))?;
    item.starts_with("mod ").then_some(item)
}

/// Files that only tests are made of, because their parent says `#[cfg(test)] mod name;`.
fn test_files(tree: &Tree) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.ends_with(".rs")) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let inside = match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => path.trim_end_matches(".rs").to_owned(),
        };
        let lines: Vec<&str> = text.lines().collect();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == "#[cfg(test)]") {
            let module = under_test(&lines[at + 1..]).and_then(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
            files.extend(module.map(|module| format!("{inside}/{module}.rs")));
        }
    }
    files
}

/// A line without its comment and without what stands in quotes.
fn plain(line: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if !escaped => quoted = !quoted,
            '/' if !quoted && letters.peek() == Some(&'/') => break,
            _ if quoted => {}
            _ => out.push(letter),
        }
        escaped = letter == '\\' && !escaped;
    }
    out
}

fn fields(path: &str, code: &[String], found: &mut Vec<String>) {
    let mut open: Option<(String, usize)> = None;
    for line in code {
        if let Some((name, count)) = &mut open {
            if line.starts_with('}') {
                let wide = WIDE.iter().any(|(file, wide)| path.starts_with(file) && name.ends_with(wide));
                if *count > MOST_FIELDS && !wide {
                    found.push(format!("{path}: {name} has {count} fields, more than {MOST_FIELDS}"));
                }
                open = None;
            } else if line.starts_with("    ")
                && !line.starts_with("     ")
                && line.contains(':')
                && !line.contains("#[")
            {
                *count += 1;
            }
        } else if let Some((_, rest)) = line.split_once("struct ")
            && line.trim_end().ends_with('{')
        {
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(rest);
            open = Some((name.to_owned(), 0));
        }
    }
}

fn manifests(tree: &Tree, found: &mut Vec<String>) {
    for (path, forbidden) in DEPENDENCIES {
        let Some(text) = tree.get(path) else { continue };
        let product = text.split("[dev-dependencies]").next().unwrap_or(text);
        let dependencies = product.split("[dependencies]").nth(1).unwrap_or_default();
        let names: BTreeSet<&str> =
            dependencies.lines().filter_map(|line| Some(line.split_once(['=', '.'])?.0.trim())).collect();
        for name in forbidden.iter().filter(|name| names.contains(*name)) {
            found.push(format!("{path}: depends on {name}"));
        }
    }
}

fn scenarios(tree: &Tree, found: &mut Vec<String>) {
    let players: String = tree
        .iter()
        .filter(|(path, _)| path.starts_with("tests/it/") && *path != SELF)
        .map(|(_, text)| text.as_str())
        .collect();
    for (path, text) in tree {
        let Some(name) = path.strip_prefix("sipp-scenarios/").and_then(|name| name.strip_suffix(".xml")) else {
            continue;
        };
        let parts: Vec<&str> = name.split('_').collect();
        if parts.len() < 2 || !["uac", "uas"].contains(&parts[0]) || parts.contains(&"") {
            found.push(format!("{path}: is not named <uac|uas>_<feature>[_<fault>].xml"));
        }
        let comment =
            text.split_once("<!--").and_then(|(_, rest)| rest.split_once("-->")).map_or("", |(comment, _)| comment);
        let cited = comment.split_whitespace().any(|word| word.ends_with("RFC")) || comment.contains("dialplan");
        if comment.trim().len() < 40 || !cited {
            found.push(format!("{path}: its first comment does not say what it proves and the clause"));
        }
        if !players.contains(&format!("\"{name}\"")) {
            found.push(format!("{path}: no test in tests/it plays it"));
        }
    }
}

fn papers(tree: &Tree, found: &mut Vec<String>) {
    if !tree.get("CHANGELOG.md").is_some_and(|text| text.contains("## [Unreleased]")) {
        found.push("CHANGELOG.md: has no [Unreleased]".into());
    }
    if let Some(length) = tree.get("ARCHITECTURE.md").map(|text| text.lines().count())
        && length > LONGEST_ARCHITECTURE
    {
        found.push(format!("ARCHITECTURE.md: {length} lines, more than {LONGEST_ARCHITECTURE}"));
    }
}

/// Each row of the conformance tables names a test at least, and each test that is named there is one.
fn conformance(tree: &Tree, found: &mut Vec<String>) {
    let lines: Vec<&str> = tree.get(CONFORMANCE).map(|text| text.lines().collect()).unwrap_or_default();
    for (number, line) in (1..).zip(&lines) {
        let tests: Vec<&str> = line.split('`').skip(1).step_by(2).filter(|name| is_test_path(name)).collect();
        for test in tests.iter().filter(|test| !is_there(tree, test)) {
            found.push(format!("{CONFORMANCE}:{number}: there is no test {test}"));
        }
        let is_head = line.starts_with("|---") || lines.get(number).is_some_and(|next| next.starts_with("|---"));
        if line.starts_with('|') && !is_head && (tests.is_empty() || line.contains("no test")) {
            found.push(format!("{CONFORMANCE}:{number}: a row without a test"));
        }
    }
}

/// Whether `name` is a path as `uas::cancel_gets_200`.
fn is_test_path(name: &str) -> bool {
    let snake = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    name.contains("::") && name.split("::").all(snake)
}

/// Whether a file in the place that `test` names has a function of that name, or a line for it in a macro.
fn is_there(tree: &Tree, test: &str) -> bool {
    let (modules, name) = test.rsplit_once("::").unwrap_or_default();
    let (function, line) = (format!("fn {name}("), format!("\n    {name}: \""));
    tree.iter().filter(|(path, _)| path.ends_with(".rs") && *path != SELF).any(|(path, text)| {
        let inside = |module: &str| module == "tests" || path.split(['/', '.']).any(|part| part == module);
        modules.split("::").all(inside) && (text.contains(&function) || text.contains(&line))
    })
}

/// Two databases, one history: the same steps in both, each with a number of its own.
fn migrations(tree: &Tree, found: &mut Vec<String>) {
    let steps = |database: &str| -> Vec<String> {
        let folder = format!("migrations/{database}/");
        tree.keys()
            .filter_map(|path| Some(path.strip_prefix(&folder)?.to_owned()))
            .filter(|n| n.ends_with(".sql"))
            .collect()
    };
    let (postgres, sqlite) = (steps("postgres"), steps("sqlite"));
    if postgres != sqlite {
        found.push(format!("migrations: postgres has {postgres:?}, sqlite has {sqlite:?}"));
    }
    let numbers: BTreeSet<&str> = postgres.iter().filter_map(|name| name.split('_').next()).collect();
    if numbers.len() != postgres.len() {
        found.push(format!("migrations: two of {postgres:?} have one number"));
    }
}

fn read(root: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.is_file() {
            keep(root, &path, &mut tree)?;
        }
    }
    for folder in FOLDERS.map(|name| root.join(name)) {
        if folder.exists() {
            walk(root, &folder, &mut tree)?;
        }
    }
    Ok(tree)
}

fn walk(root: &Path, folder: &Path, tree: &mut Tree) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, tree)?;
        } else {
            keep(root, &path, tree)?;
        }
    }
    Ok(())
}

fn keep(root: &Path, path: &Path, tree: &mut Tree) -> Result<()> {
    if path.extension().is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known)) {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        tree.insert(path.strip_prefix(root)?.to_string_lossy().replace('\\', "/"), text);
    }
    Ok(())
}

#[test]
fn the_tree_is_tidy() -> Result<()> {
    let tree = read(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    assert!(tree.len() > 50, "only {} files found: the check looks in the wrong place", tree.len());
    let found = problems(&tree);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    Ok(())
}

#[test]
fn every_recording_has_its_text_and_licence() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/speech");
    let manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(folder.join("manifest.json"))?)?;
    let entries = manifest.as_array().context("the manifest is a list")?;
    let mut named = BTreeSet::new();
    for entry in entries {
        for key in ["file", "lang", "text", "source", "licence"] {
            assert!(entry[key].as_str().is_some_and(|text| !text.is_empty()), "{key} is missing: {entry}");
        }
        named.insert(entry["file"].as_str().unwrap_or_default().to_owned());
    }
    let mut there = BTreeSet::new();
    for file in fs::read_dir(folder)? {
        let name = file?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".wav") {
            there.insert(name);
        }
    }
    assert_eq!(there, named);
    Ok(())
}

/// A tidy little tree, to be broken.
fn tidy_tree() -> Tree {
    let scenario = "<!--\n  A ping is answered with 200 and the list of methods. (RFC 3261 §11.2)\n-->";
    [
        ("CHANGELOG.md", "## [Unreleased]\n"),
        ("sip/Cargo.toml", "[dependencies]\nrsip = \"0.4\"\n[dev-dependencies]\nmedia = \"1\"\n"),
        (
            "sip/src/lib.rs",
            "//! SIP.\nuse rsip::Uri; // not tokio\n\n#[cfg(test)]\nmod tests {\n    fn t() { x.unwrap() }\n}\n",
        ),
        ("sipp-scenarios/uac_options.xml", scenario),
        ("tests/it/signalling.rs", "//! Plays.\nplain! {\n    options_udp: \"uac_options\" Udp;\n}\n"),
        (
            "docs/sip-conformance.md",
            "| section | test |\n|---|---|\n| §11.2 | `signalling::options_udp`, `lib::tests::t` |\nIn `src/`: `it::`.\n",
        ),
        ("migrations/postgres/0001_first.sql", ""),
        ("migrations/sqlite/0001_first.sql", ""),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into()
}

#[test]
fn every_rule_can_fail() {
    assert_eq!(problems(&tidy_tree()), Vec::<String>::new());
    let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(LONGEST_FILE));
    let wide = format!("//! Wide.\nstruct Wide {{\n{}}}\n", "    a: u8,\n".repeat(MOST_FIELDS + 1));
    let broken = [
        ("src/x.rs", "fn x() {}\n", "does not begin with what it is"),
        ("src/x.rs", &long, "lines without tests"),
        ("src/x.rs", &wide, "Wide has 21 fields"),
        ("src/utils.rs", "//! U.\n", "named after a kind"),
        ("src/x.rs", "//! X.\n#![allow(dead_code)]\n", "without a reason"),
        ("src/lib.rs", "//! X.\n#![allow(dead_code, reason = \"x\")]\n", "a lint is allowed for a whole crate"),
        ("src/x.rs", "//! X.\n#[cfg(test)]\nmod t;\nfn get_name() {}\n", "a getter has no get_"),
        ("src/x.rs", "//! X.\nfn x() { todo!() }\n", "work left undone"),
        ("scripts/x.sh", "# FIXME later\n", "work left undone"),
        ("sip/src/x.rs", "//! X.\nfn x() -> Instant { Instant::now() }\n", "time is an argument"),
        ("media/src/x.rs", "//! X.\nuse std::sync::Mutex;\n", "one owner"),
        ("providers/src/x.rs", "//! X.\nuse tokio::time;\n", "tasks and sockets"),
        ("src/call/x.rs", "//! X.\nasync fn x() {}\n", "synchronous"),
        ("src/call/x.rs", "//! X.\nfn x() { y.unwrap() }\n", "cannot panic us"),
        ("src/call/x.rs", "//! X.\nuse crate::store::Store;\n", "leaves by an event"),
        ("src/drivers/x.rs", "//! X.\nuse sqlx::Pool;\n", "by a channel"),
        ("media/src/x.rs", "//! X.\nuse sip::LegId;\n", "no signalling"),
        ("providers/src/x.rs", "//! X.\nuse media::rtp::Packet;\n", "audio only"),
        ("media/Cargo.toml", "[dependencies]\ntokio = { version = \"1\" }\n", "depends on tokio"),
        ("sip/Cargo.toml", "[dependencies]\nmedia.workspace = true\n", "depends on media"),
        ("sipp-scenarios/options.xml", "<!-- x -->", "is not named"),
        ("sipp-scenarios/uac_bye.xml", "<scenario/>", "does not say what it proves"),
        ("sipp-scenarios/uac_bye.xml", "<scenario/>", "no test in tests/it plays it"),
        ("CHANGELOG.md", "## [1.0.0]\n", "has no [Unreleased]"),
        ("ARCHITECTURE.md", &"line\n".repeat(LONGEST_ARCHITECTURE + 1), "ARCHITECTURE.md: 201 lines"),
        ("docs/sip-conformance.md", "| §9 | `uas::cancel_gets_200` |\n", "there is no test uas::cancel_gets_200"),
        ("docs/sip-conformance.md", "| §9 | `uas::options_udp` |\n", "there is no test uas::options_udp"),
        ("docs/sip-conformance.md", "| §9 | CANCEL gets `200` |\n", "a row without a test"),
        ("docs/sip-conformance.md", "| §9 | `signalling::options_udp`, no test over TCP |\n", "a row without a test"),
        ("migrations/sqlite/0002_second.sql", "", "migrations: postgres has"),
    ];
    for (path, text, want) in broken {
        let mut tree = tidy_tree();
        tree.insert(path.into(), text.into());
        let found = problems(&tree);
        assert!(
            found.iter().any(|problem| problem.contains(want)),
            "{path} {text:?}: {want:?} wanted, found {found:?}"
        );
    }
}

#[test]
fn comments_texts_and_other_names_are_no_matter() {
    let mut tree = tidy_tree();
    let text =
        "//! X.\n/// Not tokio::spawn, not Instant::now.\nconst T: &str = \"tokio // Mutex\";\nuse rsip::headers;\n";
    tree.insert("sip/src/x.rs".into(), text.into());
    assert_eq!(problems(&tree), Vec::<String>::new());
}
