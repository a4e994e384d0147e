//! What was found.

use serde::Serialize;
use serde_json::json;

use crate::output::print_line;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work.
    Wrong,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Wrong => "wrong",
        }
    }
}

#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    mend: String,
}

/// Everything found, in the order of the looks.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    /// As it should be.
    pub(super) fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, Verdict::Ok, found.into(), String::new());
    }

    /// It works, and somebody should look at it.
    pub(super) fn warn(&mut self, what: &'static str, found: impl Into<String>, mend: impl Into<String>) {
        self.add(what, Verdict::Warn, found.into(), mend.into());
    }

    /// It does not work.
    pub(super) fn wrong(&mut self, what: &'static str, found: impl Into<String>, mend: impl Into<String>) {
        self.add(what, Verdict::Wrong, found.into(), mend.into());
    }

    fn add(&mut self, what: &'static str, verdict: Verdict, found: String, mend: String) {
        self.0.push(Finding { what, verdict, found, mend });
    }

    pub(super) fn worst(&self) -> Verdict {
        self.0.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }

    /// A line for each, with another for how to mend it; or JSON: `{"verdict", "checks": [{"what", "verdict", "found", "mend"}]}`.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return print_line(format_args!("{:#}", json!({ "verdict": self.worst(), "checks": self.0 })));
        }
        for Finding { what, verdict, found, mend } in &self.0 {
            print_line(format_args!("{:<5}  {what:<11}  {found}", verdict.as_str()))?;
            if !mend.is_empty() {
                print_line(format_args!("{:20}mend it: {mend}", ""))?;
            }
        }
        let count = |verdict| self.0.iter().filter(|finding| finding.verdict == verdict).count();
        print_line(match (count(Verdict::Wrong), count(Verdict::Warn)) {
            (0, 0) => "everything is as it should be".to_owned(),
            (0, warnings) => format!("it works; to be looked at: {warnings}"),
            (wrong, warnings) => format!("wrong: {wrong}, to be looked at: {warnings}"),
        })
    }
}
