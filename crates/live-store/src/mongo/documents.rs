//! Documents of types that `serde` knows, where speed does not count. Their times are texts for `serde`, and dates in the document.

use chrono::{DateTime, SecondsFormat, Utc};
use mongodb::bson::{Bson, Document, RawDocument, deserialize_from_document, serialize_to_document};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    fields::{RowError, moment},
    times::Moment,
};

/// A field with a time, and the one of the microseconds behind its millisecond.
pub(crate) type TimePair = (&'static str, &'static str);

/// The document of a value; the `times` among its fields become dates, or stay null.
pub(crate) fn to_document(value: &impl Serialize, times: &[TimePair]) -> Result<Document, RowError> {
    let mut document = serialize_to_document(value)?;
    for (date, micros) in times {
        if let Some(Bson::String(text)) = document.get(date) {
            let time: DateTime<Utc> = text.parse().map_err(|error| format!("{date}: {error}"))?;
            let moment = moment(time)?;
            document.insert(*date, moment.date());
            document.insert(*micros, moment.micros());
        }
    }
    Ok(document)
}

/// A value from its document.
pub(crate) fn from_document<T: DeserializeOwned>(
    document: &RawDocument,
    times: &[TimePair],
) -> Result<T, RowError> {
    let mut document = Document::try_from(document)?;
    for (date, micros) in times {
        let rest = document.remove(micros).and_then(|rest| rest.as_i32()).unwrap_or(0);
        if let Some(Bson::DateTime(found)) = document.get(date) {
            let time = Moment::read(*found, rest)
                .ok_or_else(|| format!("{date} and {micros} are no time of the years 0 to 9999"))?;
            document.insert(*date, time.to_rfc3339_opts(SecondsFormat::Micros, true));
        }
    }
    Ok(deserialize_from_document(document)?)
}
