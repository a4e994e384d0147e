//! A look at the database without changing it.

use mongodb::bson::{doc, rawdoc};

use super::{MongoStore, command::Write, schema};
use crate::{CheckpointStore, Result, StoreCheck, checkpoints::mongo::COLLECTION as CHECKPOINTS};

/// Whether the server responds and admits the user, which collections there are, and whether the user may write.
pub(crate) async fn look(url: &str, shown: &str) -> Result<StoreCheck> {
    let store = MongoStore::connect(url, shown).await?;
    let (format, missing) = schema::look(&store).await?;
    let reply = store.try_run("cannot read the version", rawdoc! { "buildInfo": 1 }).await?;
    let version = reply.ok().and_then(|reply| reply.get_str("version").map(ToOwned::to_owned).ok());
    let (mut warnings, mut checkpoints) = (Vec::new(), Vec::new());
    let version = version.as_deref().unwrap_or("of unknown version");
    let format = format.map_or(String::new(), |format| format!(", format {format}"));
    let mut found = format!("MongoDB {version}{format}");
    if missing.iter().any(|name| name == CHECKPOINTS) {
        found.push_str(", not prepared yet");
        warnings.push(
            "every service prepares it when it starts, or `tapedeck migrate`; the user needs the right to. If it should \
             hold prices already, the path of STORE_URL names another database"
                .into(),
        );
    } else {
        nothing_is_written(&store).await?;
        found.push_str(", may be written");
        checkpoints = store.all_checkpoints().await?;
        if !missing.is_empty() {
            warnings.push(format!("missing: {}; run `tapedeck migrate`", missing.join(", ")));
        }
    }
    Ok(StoreCheck { place: store.place, is_there: true, found, warnings, folder: None, checkpoints })
}

/// A change of a document that is not there: the server checks the permission, and changes nothing.
async fn nothing_is_written(store: &MongoStore) -> Result<()> {
    let statement = doc! { "q": { "_id": "no document has this name" }, "u": { "$set": { "state": "" } }, "upsert": false };
    let statement = schema::raw(store, &statement)?;
    store.write("cannot write", Write::Update, CHECKPOINTS, &[statement].iter().collect()).await.map(drop)
}
