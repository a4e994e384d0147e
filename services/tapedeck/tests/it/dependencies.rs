//! Checks the direction of dependencies: services -> io crates -> topics -> market.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// The workspace.
fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap()
}

/// The packages of the workspace with the names of their dependencies, without dev-dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let named = |package: &cargo_metadata::Package| {
        let normal =
            package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        (package.name.to_string(), normal.map(|dependency| dependency.name.clone()).collect())
    };
    metadata().packages.iter().map(named).collect()
}

const SERVICES: [&str; 7] = ["alerts", "batch", "consumer", "news", "producer", "tapedeck", "web"];

#[test]
fn services_never_depend_on_services_but_tapedeck_on_all() {
    for (package, needs) in dependencies() {
        let services: Vec<&str> = SERVICES.into_iter().filter(|service| needs.contains(*service)).collect();
        match package.as_str() {
            "tapedeck" => assert_eq!(services, ["alerts", "batch", "consumer", "news", "producer", "web"]),
            "benches" => {}
            _ => assert!(services.is_empty(), "{package} depends on {services:?}"),
        }
    }
}

#[test]
fn libraries_point_one_way() {
    // Each may depend on those before it.
    let order = [
        "connection-url",
        "tracing-elastic",
        "sqlite-file",
        "job-runner",
        "indicators",
        "market",
        "alert-rules",
        "topics",
        "owed-mails",
        "accounts",
        "live-store",
        "analytics-store",
        "event-log",
        "archive",
        "service-runtime",
        "stream-processor",
        "mailer",
    ];
    let all = dependencies();
    for (index, library) in order.iter().enumerate() {
        let used: Vec<&str> = order.into_iter().filter(|other| all[*library].contains(*other)).collect();
        for other in used {
            let below = order.iter().position(|name| *name == other).unwrap();
            assert!(below < index, "{library} must not depend on {other}");
        }
    }
    // It is published by itself.
    let ours: Vec<&String> = all["tracing-elastic"].iter().filter(|name| all.contains_key(*name)).collect();
    assert!(ours.is_empty(), "tracing-elastic depends on {ours:?}");
    assert!(!all["event-log"].contains("market"), "the event log stores bytes only");
    assert!(!all["event-log"].contains("topics"), "the event log stores bytes only");
    assert!(!all["service-runtime"].contains("market"), "the runtime of services must not depend on symbols");
}

/// All packages that `package` links through packages of the workspace, including their direct dependencies.
fn linked(package: &str) -> BTreeSet<String> {
    let all = dependencies();
    let (mut linked, mut waiting) = (BTreeSet::new(), vec![package.to_owned()]);
    while let Some(next) = waiting.pop() {
        for dependency in all.get(&next).into_iter().flatten() {
            if linked.insert(dependency.clone()) {
                waiting.push(dependency.clone());
            }
        }
    }
    linked
}

#[test]
fn a_service_without_a_store_links_no_store() {
    let runtime = linked("service-runtime");
    for store in ["live-store", "mongodb"] {
        assert!(!runtime.contains(store), "service-runtime links {store}");
    }
    // The producer counts the calls of keys in the live store.
    assert!(!linked("producer").contains("analytics-store"), "prices go to the event log only");
    assert!(linked("consumer").contains("mongodb"), "transitive dependencies are missing");
    assert!(!linked("consumer").contains("lettre"), "a store needs the types of mails only");
}

#[test]
fn only_adapters_depend_on_the_client_of_their_server() {
    for (package, needs) in dependencies() {
        if !["event-log", "benches"].contains(&package.as_str()) {
            assert!(!needs.contains("rdkafka"), "{package} depends on rdkafka");
        }
        if !["analytics-store", "event-log", "live-store", "sqlite-file"].contains(&package.as_str()) {
            assert!(!needs.contains("sqlx"), "{package} depends on sqlx");
        }
        if !["live-store", "benches"].contains(&package.as_str()) {
            assert!(!needs.contains("mongodb"), "{package} depends on mongodb");
        }
    }
}

#[test]
fn the_market_does_no_io() {
    for package in ["market", "alert-rules", "topics"] {
        let needs = &dependencies()[package];
        for io in ["tokio", "reqwest", "sqlx", "axum", "tracing"] {
            assert!(!needs.contains(io), "{package} depends on {io}");
        }
    }
}

/// The sources of a folder, with their text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// Each target with tests is one more program to link, so that manifests switch them off where there are none.
#[test]
fn no_test_is_in_a_target_whose_tests_are_switched_off() {
    let mut checked = 0;
    for package in metadata().packages {
        let folder = package.manifest_path.parent().unwrap().join("src");
        let is_test = |text: &str| text.contains("#[cfg(test)]") || text.contains("#[test]");
        let is_doctest = |text: &str| {
            let comments = text.lines().map(str::trim).filter(|line| line.starts_with("//"));
            // Every second fence ends a block. One of another language is no test.
            let mut languages =
                comments.filter_map(|line| line.split_once("```")).map(|(_, language)| language).step_by(2);
            languages.any(|language| language.is_empty() || language.starts_with("rust"))
        };
        for target in package.targets.iter().filter(|target| !target.is_custom_build()) {
            let of_target = if target.is_lib() {
                sources(folder.as_std_path())
            } else if !target.test && target.is_bin() {
                let path = target.src_path.clone().into_std_path_buf();
                vec![(path.clone(), std::fs::read_to_string(path).unwrap())]
            } else {
                continue;
            };
            for (path, text) in of_target {
                checked += 1;
                assert!(target.test || !is_test(&text), "{}: its tests never run", path.display());
                assert!(
                    !target.is_lib() || target.doctest || !is_doctest(&text),
                    "{}: its examples are never tested",
                    path.display()
                );
            }
        }
    }
    assert!(checked > 100, "{checked} files");
}

/// A file that no module names is not compiled: its tests never run, and nothing reports it.
#[test]
fn every_source_is_part_of_a_module() {
    let mut checked = 0;
    for package in metadata().packages {
        let folder = package.manifest_path.parent().unwrap().to_owned().into_std_path_buf();
        let roots: BTreeSet<PathBuf> =
            package.targets.iter().map(|target| target.src_path.clone().into_std_path_buf()).collect();
        let all = [folder.join("src"), folder.join("tests")].into_iter().filter(|folder| folder.is_dir());
        let all: BTreeMap<PathBuf, String> = all.flat_map(|folder| sources(&folder)).collect();
        for path in all.keys().filter(|path| !roots.contains(*path)) {
            checked += 1;
            // `folder/mod.rs` is the module `folder`.
            let module = if path.ends_with("mod.rs") { path.parent().unwrap() } else { path };
            let (name, parent) = (module.file_stem().unwrap().to_str().unwrap(), module.parent().unwrap());
            let parents = ["mod.rs", "lib.rs", "main.rs"].map(|file| parent.join(file));
            let is_named = parents
                .into_iter()
                .chain([parent.with_extension("rs")])
                .any(|parent| all.get(&parent).is_some_and(|text| text.contains(&format!("mod {name};"))));
            assert!(is_named, "{}: no module names it", path.display());
        }
    }
    assert!(checked > 300, "{checked} files");
}
