//! Changes of stored alerts.

use alert_rules::{Alert, AlertId};
use live_store::{LiveStore, LiveStoreError, StoredAlert};

/// Another writer was first so often; each time the alert is read again. Few write one alert: its processor and the deliveries.
const MAX_ATTEMPTS: usize = 50;

/// Changes an alert, unless `change` returns that nothing is to change. The alert as it is now, and whether this call changed it;
/// `None` if it is not stored.
pub(crate) async fn change_alert(
    store: &dyn LiveStore,
    id: &AlertId,
    change: impl Fn(&mut Alert) -> bool,
) -> Result<Option<(Alert, bool)>, LiveStoreError> {
    for _ in 0..MAX_ATTEMPTS {
        let Some(StoredAlert { mut alert, recorded_at, version }) = store.alert(id).await? else {
            return Ok(None);
        };
        if !change(&mut alert) {
            return Ok(Some((alert, false)));
        }
        let changed = StoredAlert { alert, recorded_at, version };
        if store.replace_alert(&changed).await? {
            return Ok(Some((changed.alert, true)));
        }
    }
    Err(LiveStoreError::Unavailable {
        place: "alert_history".to_owned(),
        reason: format!("other processes change the alert {id} all the time"),
    })
}
