//! One command and its answer. Writes go out as raw commands: the driver's own methods copy every document twice more
//! and answer with all identities, and its bulk command exists only from MongoDB 8 on.

use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, raw::cstr};

use super::{
    MongoStore,
    failure::{self, code},
};
use crate::{LiveStoreError, Result};

/// What became of the statements of a write command.
pub(super) struct WriteReply {
    /// How many documents it touched.
    pub(super) touched: u64,
    /// The places of those whose identity is taken.
    pub(super) taken: Vec<usize>,
}

/// The kind of a write command: its name, and what its list of statements is called.
#[derive(Clone, Copy)]
pub(super) enum Write {
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
    /// Runs a command and waits for its answer, within the timeout. `what` says what is tried, for messages.
    pub(super) async fn run(&self, what: &str, command: RawDocumentBuf) -> Result<Document> {
        self.bounded(what, async { self.database.run_raw_command(command).await }).await
    }

    /// Waits for the driver, but not for ever: it has no timeout of its own for an answer. A call given up closes its
    /// connection; whether the server has done it is unknown, which is why every write can be repeated.
    pub(super) async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.command_timeout, call).await {
            Ok(answer) => answer.map_err(|error| failure::translate(&self.place, what, &error)),
            Err(_) => {
                Err(self
                    .unavailable(format!("{what}: no answer within {} ms", self.command_timeout.as_millis())))
            }
        }
    }

    /// Runs statements of which each succeeds or fails by itself. Those whose identity is taken are no failure; of
    /// the others the first for good is returned, else the first at all.
    pub(super) async fn write(
        &self,
        what: &str,
        write: Write,
        collection: &str,
        statements: &RawArrayBuf,
    ) -> Result<WriteReply> {
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
        let answer = self.run(what, command).await?;
        self.judge(what, &answer)
    }

    fn judge(&self, what: &str, answer: &Document) -> Result<WriteReply> {
        let mut taken = Vec::new();
        let mut failed: Option<LiveStoreError> = None;
        for item in item_errors(answer) {
            if item.code == code::DUPLICATE_KEY {
                taken.push(item.place);
                continue;
            }
            let error = failure::of_code(&self.place, what, item.code, &item.message);
            if failed.as_ref().is_none_or(|failed| failed.is_transient() && !error.is_transient()) {
                failed = Some(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if let Ok(concern) = answer.get_document("writeConcernError") {
            let code = integer(concern.get("code")).unwrap_or_default();
            let words = concern.get_str("errmsg").unwrap_or_default();
            return Err(failure::of_code(&self.place, what, code as i32, words));
        }
        let touched = integer(answer.get("n")).and_then(|n| u64::try_from(n).ok());
        let touched = touched.ok_or_else(|| {
            self.refused(format!("{what}: the server's answer does not say how many documents it touched"))
        })?;
        Ok(WriteReply { touched, taken })
    }
}

fn item_errors(answer: &Document) -> impl Iterator<Item = ItemError> {
    let items = answer.get_array("writeErrors").map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Bson::as_document).map(|item| ItemError {
        place: integer(item.get("index")).and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX),
        code: integer(item.get("code")).unwrap_or_default() as i32,
        message: item.get_str("errmsg").unwrap_or_default().to_owned(),
    })
}

/// Servers answer counts as 32-bit, 64-bit or floating numbers.
pub(super) fn integer(value: Option<&Bson>) -> Option<i64> {
    match value? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) if number.fract() == 0.0 => Some(*number as i64),
        _ => None,
    }
}
