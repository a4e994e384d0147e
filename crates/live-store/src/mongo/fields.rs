//! Fields of documents: what every noun writes and reads alike.

use chrono::{DateTime, Utc};
use market::decimal_from_f64;
use mongodb::bson::{DateTime as BsonDate, RawBsonRef, RawDocument, RawDocumentBuf, raw::CStr};
use rust_decimal::Decimal;

use super::times::Moment;

/// What is wrong with a document, or with what should become one.
pub(crate) type RowError = Box<dyn std::error::Error + Send + Sync>;

/// A time as two fields.
pub(crate) fn moment(time: DateTime<Utc>) -> Result<Moment, RowError> {
    Moment::new(time).ok_or_else(|| format!("the time {time} is outside the years 0 to 9999").into())
}

/// Appends both fields of a time.
pub(crate) fn append_time(
    to: &mut RawDocumentBuf,
    date: &CStr,
    micros: &CStr,
    time: DateTime<Utc>,
) -> Result<(), RowError> {
    let moment = moment(time)?;
    to.append(date, moment.date());
    to.append(micros, moment.micros());
    Ok(())
}

/// A time in whole milliseconds, where these are fine enough.
pub(crate) fn date(time: DateTime<Utc>) -> BsonDate {
    BsonDate::from_millis(time.timestamp_millis())
}

/// Reads what [`date`] makes.
pub(crate) fn read_date(name: &str, found: BsonDate) -> Result<DateTime<Utc>, RowError> {
    let time = DateTime::from_timestamp_millis(found.timestamp_millis());
    time.ok_or_else(|| format!("{name} is no time of the calendar").into())
}

/// The `_id`, a text.
pub(crate) fn id(document: &RawDocument) -> Result<String, RowError> {
    text(document, "_id", |id| Ok::<_, RowError>(id.to_owned()))
}

pub(crate) fn field<'a>(document: &'a RawDocument, name: &str) -> Result<RawBsonRef<'a>, RowError> {
    document.get(name)?.ok_or_else(|| format!("{name} is missing").into())
}

pub(crate) fn text<T, E: std::fmt::Display>(
    document: &RawDocument,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, RowError> {
    match field(document, name)? {
        RawBsonRef::String(text) => parse(text).map_err(|error| format!("{name}: {error}").into()),
        other => Err(unexpected(name, "a text", other)),
    }
}

/// A text that may be missing or null.
pub(crate) fn optional_text(document: &RawDocument, name: &str) -> Result<Option<String>, RowError> {
    match document.get(name)? {
        None | Some(RawBsonRef::Null) => Ok(None),
        Some(_) => text(document, name, |text| Ok::<_, RowError>(text.to_owned())).map(Some),
    }
}

/// A time that may be missing or null.
pub(crate) fn optional_time(
    document: &RawDocument,
    date: &str,
    micros: &str,
) -> Result<Option<DateTime<Utc>>, RowError> {
    match document.get(date)? {
        None | Some(RawBsonRef::Null) => Ok(None),
        Some(_) => time(document, date, micros).map(Some),
    }
}

pub(crate) fn time(document: &RawDocument, date: &str, micros: &str) -> Result<DateTime<Utc>, RowError> {
    let RawBsonRef::DateTime(found) = field(document, date)? else {
        return Err(unexpected(date, "a date", field(document, date)?));
    };
    let micros = match document.get(micros)? {
        None => 0,
        Some(other) => integer(other).and_then(|micros| i32::try_from(micros).ok()).unwrap_or(-1),
    };
    Moment::read(found, micros).ok_or_else(|| {
        format!("{date}: {} ms and {micros} us are no time of the years 0 to 9999", found.timestamp_millis())
            .into()
    })
}

/// Prices and volumes are doubles; a shell that was given `100` wrote an integer.
pub(crate) fn number(document: &RawDocument, name: &str) -> Result<f64, RowError> {
    match field(document, name)? {
        RawBsonRef::Double(number) => Ok(number),
        other => {
            integer(other).map(|number| number as f64).ok_or_else(|| unexpected(name, "a number", other))
        }
    }
}

pub(crate) fn decimal(document: &RawDocument, name: &str) -> Result<Decimal, RowError> {
    let number = number(document, name)?;
    decimal_from_f64(number).ok_or_else(|| format!("{name}: {number} is no price or volume").into())
}

/// `None` where the field is null or missing.
pub(crate) fn optional_decimal(document: &RawDocument, name: &str) -> Result<Option<Decimal>, RowError> {
    match document.get(name)? {
        None | Some(RawBsonRef::Null) => Ok(None),
        Some(_) => decimal(document, name).map(Some),
    }
}

pub(crate) fn unsigned(document: &RawDocument, name: &str) -> Result<u64, RowError> {
    let found = field(document, name)?;
    integer(found).map(i64::cast_unsigned).ok_or_else(|| unexpected(name, "an integer", found))
}

pub(crate) fn partition(document: &RawDocument) -> Result<i32, RowError> {
    let found = field(document, "partition")?;
    integer(found)
        .and_then(|partition| i32::try_from(partition).ok())
        .ok_or_else(|| unexpected("partition", "a 32-bit integer", found))
}

fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(number) => Some(i64::from(number)),
        RawBsonRef::Int64(number) => Some(number),
        _ => None,
    }
}

pub(crate) fn unexpected(name: &str, expected: &str, found: RawBsonRef<'_>) -> RowError {
    format!("{name} is not {expected} but of type {:?}", found.element_type()).into()
}
