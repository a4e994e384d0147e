//! The rules of the house, from the settings.

use alert_rules::{AlertRule, Owner, RuleFields, RuleId, RuleKind, WatchedSymbols};
use anyhow::Context;

use crate::AlertsConfig;

/// After an episode has opened, the next one of its rule and symbol opens so many minutes later at the earliest.
const COOLDOWN_MINUTES: u32 = 60;

/// The rules, in revision 1: the store has the number.
pub(crate) fn rules(config: &AlertsConfig) -> anyhow::Result<[AlertRule; 2]> {
    let rule = |id: &str, kind, setting: &str| {
        let id = RuleId::parse(id)?;
        let fields = RuleFields {
            id,
            owner: Owner::House,
            revision: 1,
            symbols: WatchedSymbols::All,
            kind,
            cooldown_minutes: COOLDOWN_MINUTES,
            is_active: true,
            recipients: config.recipients.0.iter().map(|address| address.as_str().to_owned()).collect(),
        };
        AlertRule::new(fields).with_context(|| format!("{setting} or --alert-recipients (ALERT_RECIPIENTS)"))
    };
    Ok([
        rule(
            "house-change",
            RuleKind::ChangeFromOpen { percent: config.price_change_percent },
            "--price-change-threshold (PRICE_CHANGE_THRESHOLD)",
        )?,
        rule(
            "house-volume",
            RuleKind::VolumeSpike { multiplier: config.volume_multiplier },
            "--volume-threshold-multiplier (VOLUME_THRESHOLD_MULTIPLIER)",
        )?,
    ])
}
