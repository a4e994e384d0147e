//! Alert rules: of the house and of people, each in its newest revision.

pub(crate) mod mongo;
pub(crate) mod sqlite;

use alert_rules::{AlertRule, Owner, RuleId};
use async_trait::async_trait;

use crate::Result;

/// The store of alert rules.
///
/// # Contract
/// - A rule has one identity and a revision that counts its changes; only the newest one is kept here. What an earlier one was is
///   in the rule sets ([`crate::AlertFactStore`]) that took effect.
/// - Of two writers of one revision, one succeeds.
#[async_trait]
pub trait AlertRuleStore: Send + Sync {
    /// Stores a rule: a new one with revision 1, a changed one with the revision behind the stored one. Whether it is stored now as
    /// given, by this call or an earlier one; otherwise another writer was first, and the caller reads again.
    async fn put_alert_rule(&self, rule: &AlertRule) -> Result<bool>;

    /// One rule.
    async fn alert_rule(&self, id: &RuleId) -> Result<Option<AlertRule>>;

    /// The rules of an owner, active or not, by identity.
    async fn alert_rules_of(&self, owner: &Owner) -> Result<Vec<AlertRule>>;

    /// All active rules, by identity.
    async fn active_alert_rules(&self) -> Result<Vec<AlertRule>>;

    /// Removes a rule of an owner. Whether it was there.
    async fn remove_alert_rule(&self, id: &RuleId, owner: &Owner) -> Result<bool>;

    /// Removes all rules of an owner; returns how many.
    async fn remove_alert_rules_of(&self, owner: &Owner) -> Result<u64>;
}
