//! Runs `make env` (deploy/make-env.sh), and what a checkout must be like for the containers.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::compose_file::{example, root, text};

/// A folder with the files of a checkout that `make env` reads. Removed when dropped.
struct Clone {
    _parent: TempDir,
    folder: PathBuf,
}

impl Clone {
    fn new(name: &str) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join(name);
        copy(&root().join("deploy"), &folder.join("deploy"));
        fs::copy(root().join(".env.example"), folder.join(".env.example")).unwrap();
        Self { _parent: parent, folder }
    }

    fn make_env(&self) -> Output {
        let mut command = Command::new("bash");
        command.arg(self.folder.join("deploy/make-env.sh")).env_remove("COMPOSE_PROJECT_NAME");
        command.output().unwrap()
    }

    fn made_env(&self) -> String {
        let output = self.make_env();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(self.env()).unwrap()
    }

    fn env(&self) -> PathBuf {
        self.folder.join(".env")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The value that Compose uses: that of the last line with the name.
fn value<'a>(env: &'a str, name: &str) -> &'a str {
    let mut values = env.lines().rev().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.next().unwrap_or_else(|| panic!("{name} is missing in {env}"))
}

/// The variables without a default, whose values are generated.
fn generated() -> impl Iterator<Item = String> {
    example().into_iter().filter(|(_, default)| default.is_empty()).map(|(name, _)| name)
}

#[test]
fn passwords_are_distinct_readable_by_the_owner_only_and_kept() {
    let clone = Clone::new("tapedeck");
    let made = clone.made_env();
    assert_eq!(clone.env().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut secrets = BTreeSet::new();
    for (name, default) in example() {
        let value = value(&made, &name);
        if default.is_empty() {
            assert!(value.len() >= if name == "COMPOSE_PROJECT_NAME" { 17 } else { 22 }, "{name} is short");
            assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{name}");
            assert!(secrets.insert(value.to_owned()), "{name} equals another value");
        } else {
            assert_eq!(value, default);
        }
    }
    assert_eq!(clone.made_env(), made, "the passwords of existing volumes were replaced");
    assert_eq!(fs::read_dir(&clone.folder).unwrap().count(), 3, "there are other files");
}

#[test]
fn a_variable_that_an_env_lacks_is_appended_and_every_line_is_kept() {
    let full = Clone::new("tapedeck").made_env();
    for name in generated() {
        let without: Vec<&str> = full.lines().filter(|line| !line.starts_with(&format!("{name}="))).collect();
        let clone = Clone::new("tapedeck");
        // Neither the end of the last line nor those of Windows may matter.
        let older = format!("# mine\r\n{}\r\nEXTRA='kept'", without.join("\n"));
        fs::write(clone.env(), &older).unwrap();
        let made = clone.made_env();
        let added = made.strip_prefix(&older).unwrap_or_else(|| panic!("{name}: {made}")).trim();
        assert!(added.starts_with(&format!("{name}=")) && added.lines().count() == 1, "{name}: {added}");
        assert_eq!(clone.made_env(), made, "{name} is appended again");
    }
}

#[test]
fn a_copy_of_the_example_is_filled() {
    let clone = Clone::new("tapedeck");
    fs::copy(clone.folder.join(".env.example"), clone.env()).unwrap();
    let made = clone.made_env();
    for name in generated() {
        assert!(!value(&made, &name).is_empty(), "{name}");
    }
    assert!(made.starts_with(&text(".env.example")));
    // No container was started with it: the folder's name would be that of other clones, too.
    assert!(value(&made, "COMPOSE_PROJECT_NAME").starts_with("tapedeck-"), "{made}");
}

#[test]
fn a_filled_copy_of_the_example_keeps_the_project_that_its_volumes_belong_to() {
    let clone = Clone::new("tapedeck");
    let copy = text(".env.example").replace("\nMONGO_PASSWORD=\n", "\nMONGO_PASSWORD=mine\n");
    fs::write(clone.env(), &copy).unwrap();
    let made = clone.made_env();
    assert_eq!(value(&made, "COMPOSE_PROJECT_NAME"), "tapedeck");
    assert_eq!(value(&made, "MONGO_PASSWORD"), "mine");
}

#[test]
fn clones_in_folders_of_the_same_name_are_different_projects() {
    let names = [Clone::new("tapedeck"), Clone::new("tapedeck")]
        .map(|clone| value(&clone.made_env(), "COMPOSE_PROJECT_NAME").to_owned());
    assert_ne!(names[0], names[1]);
    assert!(names[0].starts_with("tapedeck-"));
}

#[test]
fn an_older_env_keeps_the_project_that_its_volumes_belong_to() {
    for (folder, project) in [("tapedeck", "tapedeck"), ("_My Tape.Deck-2", "mytapedeck-2")] {
        let clone = Clone::new(folder);
        fs::write(clone.env(), "PROVIDER=binance\n").unwrap();
        assert_eq!(value(&clone.made_env(), "COMPOSE_PROJECT_NAME"), project, "{folder}");
    }
}

#[test]
fn files_of_containers_are_readable_for_them_in_a_clone_with_a_strict_umask() {
    let clone = Clone::new("tapedeck");
    let deploy = clone.folder.join("deploy");
    let modes = |expression: &str| {
        let found = Command::new("find").arg(&deploy).args(expression.split(' ')).output().unwrap();
        String::from_utf8(found.stdout).unwrap()
    };
    assert!(Command::new("chmod").args(["-R", "go="]).arg(&deploy).status().unwrap().success());
    clone.made_env();
    assert_eq!(modes("-type d ! -perm -0555 -o -type f ! -perm -0444"), "");
    assert_eq!(modes("-perm /0022"), "", "others can write");
}

#[test]
fn a_checkout_on_windows_has_the_line_ends_that_containers_read() {
    let clone = Clone::new("tapedeck");
    fs::copy(root().join(".gitattributes"), clone.folder.join(".gitattributes")).unwrap();
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args([
                "-c",
                "core.autocrlf=true",
                "-c",
                "user.name=test",
                "-c",
                "user.email=test@localhost",
                "-C",
            ])
            .arg(&clone.folder)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "a clone"]);
    fs::remove_dir_all(clone.folder.join("deploy")).unwrap();
    git(&["checkout", "--quiet", "."]);
    for file in ["deploy/make-env.sh", "deploy/kafka/ready.sh", "deploy/mongodb/users.js"] {
        assert_eq!(fs::read_to_string(clone.folder.join(file)).unwrap(), text(file), "{file}");
    }
}
