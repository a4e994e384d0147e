//! One command and its reply. Writes go out as raw commands: the driver's own methods copy every document twice more
//! and return all identities, and its bulk command exists only from MongoDB 8 on.

use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, raw::cstr};

use super::{
    MongoStore,
    failure::{self, code},
};
use crate::{LiveStoreError, Result};

/// What became of the statements of a write command.
pub(crate) struct WriteReply {
    /// How many documents it touched.
    pub(crate) touched: u64,
    /// The indexes of those whose identity is taken.
    pub(crate) taken: Vec<usize>,
}

/// The kind of a write command: its name, and what its list of statements is called.
#[derive(Clone, Copy)]
pub(crate) enum Write {
    Insert,
    Update,
    Delete,
}

/// One statement that failed.
struct ItemError {
    place: usize,
    code: i32,
    message: String,
}

impl MongoStore {
    /// Runs a command and waits for its reply, within the timeout. `what` names the attempt, for messages.
    pub(crate) async fn run(&self, what: &str, command: RawDocumentBuf) -> Result<Document> {
        self.bounded(what, async { self.database.run_raw_command(command).await }).await
    }

    /// Runs a command that the server may refuse: then its code and words are within.
    pub(crate) async fn try_run(
        &self,
        what: &str,
        command: RawDocumentBuf,
    ) -> Result<Result<Document, (i32, String)>> {
        let call = async {
            match self.database.run_raw_command(command).await {
                Ok(reply) => Ok(Ok(reply)),
                Err(error) => failure::refusal(&error).map(Err).ok_or(error),
            }
        };
        self.bounded(what, call).await
    }

    /// Waits for the driver, but not for ever: it has no timeout of its own for a reply. A call given up closes its
    /// connection; whether the server has done it is unknown, which is why every write can be repeated.
    pub(crate) async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.command_timeout, call).await {
            Ok(reply) => reply.map_err(|error| failure::translate(&self.place, what, &error)),
            Err(_) => {
                Err(self
                    .unavailable(format!("{what}: no reply within {} ms", self.command_timeout.as_millis())))
            }
        }
    }

    /// The command that [`MongoStore::write`] runs.
    pub(crate) fn write_command(
        &self,
        write: Write,
        collection: &str,
        statements: &RawArrayBuf,
    ) -> RawDocumentBuf {
        let mut command = RawDocumentBuf::new();
        match write {
            Write::Insert => command.append(cstr!("insert"), collection),
            Write::Update => command.append(cstr!("update"), collection),
            Write::Delete => command.append(cstr!("delete"), collection),
        }
        command.append(cstr!("ordered"), false);
        command.append(cstr!("writeConcern"), &self.write_concern);
        match write {
            Write::Insert => command.append(cstr!("documents"), statements),
            Write::Update => command.append(cstr!("updates"), statements),
            Write::Delete => command.append(cstr!("deletes"), statements),
        }
        command
    }

    /// Runs statements of which each succeeds or fails by itself. Those whose identity is taken are no failure; of
    /// the others the first for good is returned, else the first at all.
    pub(crate) async fn write(
        &self,
        what: &str,
        write: Write,
        collection: &str,
        statements: &RawArrayBuf,
    ) -> Result<WriteReply> {
        let command = self.write_command(write, collection, statements);
        let reply = self.run(what, command).await?;
        judge(&self.place, what, &reply)
    }
}

/// The result of a write command.
pub(crate) fn judge(place: &str, what: &str, reply: &Document) -> Result<WriteReply> {
    let mut taken = Vec::new();
    let mut failed: Option<LiveStoreError> = None;
    for item in item_errors(reply) {
        if item.code == code::DUPLICATE_KEY {
            taken.push(item.place);
            continue;
        }
        let error = failure::of_code(place, what, item.code, &item.message);
        if failed.as_ref().is_none_or(|failed| failed.is_transient() && !error.is_transient()) {
            failed = Some(error);
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(error) = write_concern_error(place, what, reply) {
        return Err(error);
    }
    // Some servers leave the count out where a statement failed.
    let uncounted = (!taken.is_empty()).then_some(0);
    let touched = integer(reply.get("n")).and_then(|n| u64::try_from(n).ok()).or(uncounted);
    let touched = touched.ok_or_else(|| LiveStoreError::Refused {
        place: place.to_owned(),
        reason: format!("{what}: the server's reply lacks how many documents it touched"),
    })?;
    Ok(WriteReply { touched, taken })
}

/// The error of a write that was applied, but did not reach a majority in time.
pub(crate) fn write_concern_error(place: &str, what: &str, reply: &Document) -> Option<LiveStoreError> {
    let concern = reply.get_document("writeConcernError").ok()?;
    let code = integer(concern.get("code")).unwrap_or_default();
    let message = concern.get_str("errmsg").unwrap_or_default();
    Some(failure::of_code(place, what, code as i32, message))
}

fn item_errors(reply: &Document) -> impl Iterator<Item = ItemError> {
    let items = reply.get_array("writeErrors").map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Bson::as_document).map(|item| ItemError {
        place: integer(item.get("index")).and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX),
        code: integer(item.get("code")).unwrap_or_default() as i32,
        message: item.get_str("errmsg").unwrap_or_default().to_owned(),
    })
}

/// Servers return counts as 32-bit, 64-bit or floating numbers.
pub(crate) fn integer(value: Option<&Bson>) -> Option<i64> {
    match value? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) if number.fract() == 0.0 => Some(*number as i64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;
    use rstest::rstest;

    use super::*;

    fn item(index: i32, code: i32, message: &str) -> Document {
        doc! { "index": index, "code": code, "errmsg": message }
    }

    fn judged(items: Vec<Document>) -> Result<WriteReply> {
        judge("mongodb://host/x", "cannot store ticks", &doc! { "ok": 1, "n": 7, "writeErrors": items })
    }

    #[test]
    fn identities_that_are_taken_are_no_failure() {
        let reply = judged(vec![item(2, 11000, "E11000"), item(5, 11000, "E11000")]).expect("a reply");
        assert_eq!((reply.taken, reply.touched), (vec![2, 5], 7));
    }

    #[rstest]
    #[case::validation(121, "Document failed validation", false, "failed validation (code 121)")]
    #[case::too_large(10334, "BSONObj size: 20000000", false, "code 10334")]
    #[case::may_not(13, "not authorized on x", false, "may not")]
    #[case::no_longer_primary(10107, "not primary", true, "not primary")]
    #[case::stepping_down(189, "stepped down", true, "stepped down")]
    #[case::shutting_down(11600, "shutting down", true, "shutting down")]
    #[case::over_quota(8000, "you are over your space quota", true, "no space left")]
    #[case::disk_full(14031, "available disk space", true, "no space left")]
    #[case::rate(16500, "Request rate is large", true, "Request rate")]
    fn every_other_failure_of_one_document_is_told_apart_from_it(
        #[case] code: i32,
        #[case] words: &str,
        #[case] passes: bool,
        #[case] expected: &str,
    ) {
        let error = judged(vec![item(0, 11000, "E11000"), item(1, code, words)]).err().expect("an error");
        assert_eq!(error.is_transient(), passes, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_failure_for_good_goes_before_one_that_passes() {
        let items = vec![item(0, 10107, "not primary"), item(1, 121, "failed validation")];
        let error = judged(items).err().expect("an error");
        assert!(!error.is_transient(), "{error}");
    }

    #[test]
    fn what_no_majority_has_yet_is_not_stored() {
        let reply = doc! {
            "ok": 1, "n": 3,
            "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" },
        };
        let error = judge("mongodb://host/x", "cannot store ticks", &reply).err().expect("an error");
        assert!(error.is_transient(), "{error}");
        assert!(error.to_string().contains("replication timed out"), "{error}");
    }

    #[test]
    fn an_answer_without_a_count_is_refused() {
        let error =
            judge("mongodb://host/x", "cannot store ticks", &doc! { "ok": 1 }).err().expect("an error");
        assert!(!error.is_transient(), "{error}");
    }
}
