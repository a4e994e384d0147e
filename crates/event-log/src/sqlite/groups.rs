//! Consumer groups within the process: owners of partitions, and committed offsets.
//!
//! A partition moves in steps, so that it never has two owners: the owner receives `Revoked`, may commit until its next call
//! or until a time limit, then the partition is assigned to the new owner under a new generation. Other partitions stay.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex},
};

use tokio::{
    sync::watch,
    time::{Duration, Instant},
};

use super::{
    balance::{Member, balance},
    catalog::Partition,
    store::Offsets,
};
use crate::{CommitHandle, TopicPartition, generation::next_generation, locked::locked};

/// How long a member may take from `Revoked` to its next call of `next`.
const REVOKED_LIMIT_MS: u64 = 5_000;
/// How long a member may take to call `next` at all while another member waits for its partitions.
const POLL_LIMIT_MS: u64 = 30_000;

/// All groups of one log, by name.
pub(crate) struct Groups(Mutex<HashMap<String, Arc<Group>>>);

impl Groups {
    /// The groups with committed offsets, without members.
    pub(crate) fn new(offsets: HashMap<String, Offsets>) -> Self {
        let group =
            |(name, committed): (String, Offsets)| (name.clone(), Arc::new(Group::new(name, committed)));
        Self(Mutex::new(offsets.into_iter().map(group).collect()))
    }

    /// The group; created if it does not exist.
    pub(crate) fn get_or_create(&self, name: &str) -> Arc<Group> {
        let mut groups = locked(&self.0);
        let fresh = || Arc::new(Group::new(name.to_owned(), Offsets::new()));
        Arc::clone(groups.entry(name.to_owned()).or_insert_with(fresh))
    }

    /// The group, if it exists.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Group>> {
        locked(&self.0).get(name).cloned()
    }
}

/// One group.
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_member: Member,
    wanted: BTreeMap<TopicPartition, Vec<Member>>,
    target: HashMap<TopicPartition, Member>,
    owners: HashMap<TopicPartition, Owner>,
    /// Partitions that were taken from a member after its time limit; reported at its next call.
    lost: HashMap<Member, Vec<TopicPartition>>,
    /// Members that have received `Standby` since they last had a partition.
    standing_by: HashSet<Member>,
    committed: Offsets,
}

struct Owner {
    member: Member,
    generation: u64,
    /// When another member may take the partition; set if it is to move.
    give_up_at: Option<Instant>,
    reported: bool,
    commits_in_flight: u32,
    /// Offset committed under this assignment since the last seek; earlier handles have no effect.
    committed_to: u64,
}

/// What has changed for a member.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MemberUpdate {
    /// These partitions are revoked.
    Revoked(Vec<TopicPartition>),
    /// These partitions are assigned, each with its generation.
    Assigned(Vec<(TopicPartition, u64)>),
    /// The member has no partition. Returned once.
    Standby,
    /// Nothing has changed; poll again at this time, if there is one.
    Unchanged(Option<Instant>),
}

/// Keeps the partitions of a commit assigned to their owner until it is dropped.
pub(crate) struct CommitPermit {
    group: Arc<Group>,
    partitions: Vec<(TopicPartition, u64)>,
    changed: Arc<watch::Sender<u64>>,
}

impl Drop for CommitPermit {
    fn drop(&mut self) {
        let mut state = locked(&self.group.state);
        for (partition, generation) in &self.partitions {
            if let Some(owner) =
                state.owners.get_mut(partition).filter(|owner| owner.generation == *generation)
            {
                owner.commits_in_flight -= 1;
            }
        }
        drop(state);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// The valid part of a commit.
pub(crate) struct Accepted {
    /// The offset to commit for each partition.
    pub(crate) offsets: Vec<(TopicPartition, u64)>,
    /// Number of handles of ended assignments.
    pub(crate) stale: usize,
    /// Keeps the partitions assigned.
    pub(crate) permit: CommitPermit,
}

impl Group {
    fn new(name: String, committed: Offsets) -> Self {
        Self { name, state: Mutex::new(State { committed, ..State::default() }) }
    }

    /// Adds a member that subscribes to these partitions.
    pub(crate) fn join(&self, partitions: &[Arc<Partition>]) -> Member {
        let mut state = locked(&self.state);
        let member = state.next_member;
        state.next_member += 1;
        for partition in partitions {
            state.wanted.entry(partition.id.clone()).or_default().push(member);
        }
        state.rebalance();
        member
    }

    /// Removes a member; its partitions are free.
    pub(crate) fn leave(&self, member: Member) {
        let mut state = locked(&self.state);
        for members in state.wanted.values_mut() {
            members.retain(|wanting| *wanting != member);
        }
        state.wanted.retain(|_, members| !members.is_empty());
        state.lost.remove(&member);
        state.standing_by.remove(&member);
        let now = Instant::now();
        for owner in state.owners.values_mut().filter(|owner| owner.member == member) {
            owner.reported = true;
            owner.give_up_at = Some(now);
        }
        state.rebalance();
    }

    /// What has changed for the member, and whether partitions have become free: the first call after `Revoked` gives the
    /// revoked partitions up.
    pub(crate) fn poll(&self, member: Member) -> (MemberUpdate, bool) {
        let now = Instant::now();
        let mut state = locked(&self.state);
        let before = state.owners.len();
        state
            .owners
            .retain(|_, owner| !(owner.member == member && owner.reported && owner.commits_in_flight == 0));
        let freed = state.owners.len() < before;
        let revoked = state.revoke(member, now);
        let poll =
            if revoked.is_empty() { state.assign(member, now) } else { MemberUpdate::Revoked(revoked) };
        (poll, freed)
    }

    /// Selects the valid handles, and keeps their partitions assigned.
    pub(crate) fn accept(
        self: &Arc<Self>,
        member: Member,
        handles: Vec<CommitHandle>,
        changed: &Arc<watch::Sender<u64>>,
    ) -> Accepted {
        let mut state = locked(&self.state);
        let mut furthest: BTreeMap<TopicPartition, u64> = BTreeMap::new();
        let mut stale = 0;
        for CommitHandle { position, generation } in handles {
            let current = state.owners.get(&position.topic_partition);
            if current.is_some_and(|owner| owner.member == member && owner.generation == generation) {
                let next = furthest.entry(position.topic_partition).or_default();
                *next = (*next).max(position.offset + 1);
            } else {
                stale += 1;
            }
        }
        let mut partitions = Vec::new();
        for partition in furthest.keys() {
            if let Some(owner) = state.owners.get_mut(partition) {
                owner.commits_in_flight += 1;
                partitions.push((partition.clone(), owner.generation));
            }
        }
        let further = |(partition, next): &(TopicPartition, u64)| {
            state.owners.get(partition).is_some_and(|owner| *next > owner.committed_to)
        };
        let offsets = furthest.into_iter().filter(further).collect();
        let permit = CommitPermit { group: Arc::clone(self), partitions, changed: Arc::clone(changed) };
        Accepted { offsets, stale, permit }
    }

    /// Records offsets that the file has stored.
    pub(crate) fn set_committed(&self, offsets: &[(Arc<Partition>, u64)]) {
        let mut state = locked(&self.state);
        for (partition, next) in offsets {
            state.committed.insert(partition.id.clone(), *next);
            if let Some(owner) = state.owners.get_mut(&partition.id) {
                owner.committed_to = *next;
            }
        }
    }

    /// Offset after the last committed record.
    pub(crate) fn committed(&self, partition: &TopicPartition) -> Option<u64> {
        locked(&self.state).committed.get(partition).copied()
    }

    /// Makes handles before the last commit valid again: the member has changed its position.
    pub(crate) fn on_seek(&self, partition: &TopicPartition, generation: u64) {
        let mut state = locked(&self.state);
        if let Some(owner) = state.owners.get_mut(partition).filter(|owner| owner.generation == generation) {
            owner.committed_to = 0;
        }
    }
}

impl State {
    fn rebalance(&mut self) {
        let owners = self.owners.iter().map(|(partition, owner)| (partition.clone(), owner.member)).collect();
        self.target = balance(&self.wanted, &owners);
        let poll_deadline = Instant::now() + Duration::from_millis(POLL_LIMIT_MS);
        for (partition, owner) in &mut self.owners {
            let stays = self.target.get(partition) == Some(&owner.member);
            if !owner.reported {
                owner.give_up_at = if stays { None } else { owner.give_up_at.or(Some(poll_deadline)) };
            }
        }
    }

    /// Partitions to report to the member as revoked: those it has lost, and those that are to move. Each is returned once.
    fn revoke(&mut self, member: Member, now: Instant) -> Vec<TopicPartition> {
        let mut revoked = self.lost.remove(&member).unwrap_or_default();
        let give_up_at = now + Duration::from_millis(REVOKED_LIMIT_MS);
        for (partition, owner) in &mut self.owners {
            let moves = owner.member == member && self.target.get(partition) != Some(&member);
            if moves && !owner.reported {
                owner.reported = true;
                owner.give_up_at = Some(give_up_at);
                revoked.push(partition.clone());
            }
        }
        revoked.sort();
        revoked
    }

    fn assign(&mut self, member: Member, now: Instant) -> MemberUpdate {
        let (mut assigned_now, mut poll_again) = (Vec::new(), None::<Instant>);
        let mine = self.target.iter().filter(|(_, owner)| **owner == member);
        let mine: Vec<_> = mine.map(|(partition, _)| partition.clone()).collect();
        if !mine.is_empty() {
            self.standing_by.remove(&member);
        } else if self.standing_by.insert(member) {
            return MemberUpdate::Standby;
        }
        for partition in mine {
            if let Some(owner) = self.owners.get(&partition) {
                if owner.member == member && !owner.reported {
                    continue;
                }
                match owner.give_up_at {
                    Some(at) if at <= now && owner.commits_in_flight == 0 => {
                        if !owner.reported {
                            self.lost.entry(owner.member).or_default().push(partition.clone());
                        }
                    }
                    at => {
                        // The end of a commit in flight wakes all members.
                        let later = at.filter(|at| *at > now);
                        poll_again = [poll_again, later].into_iter().flatten().min();
                        continue;
                    }
                }
            }
            let generation = next_generation();
            let owner = Owner {
                member,
                generation,
                give_up_at: None,
                reported: false,
                commits_in_flight: 0,
                committed_to: 0,
            };
            self.owners.insert(partition.clone(), owner);
            assigned_now.push((partition, generation));
        }
        assigned_now.sort();
        if assigned_now.is_empty() {
            MemberUpdate::Unchanged(poll_again)
        } else {
            MemberUpdate::Assigned(assigned_now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Position, sqlite::catalog::Topic};

    fn partitions() -> Vec<Arc<Partition>> {
        Topic::new(1, "topic", Duration::from_hours(1), vec![(0, 0); 2]).partitions
    }

    fn assigned(group: &Group, member: Member) -> Vec<(TopicPartition, u64)> {
        match group.poll(member).0 {
            MemberUpdate::Assigned(partitions) => partitions,
            other => panic!("{other:?}"),
        }
    }

    fn handle((partition, generation): &(TopicPartition, u64)) -> CommitHandle {
        let position = Position { topic_partition: partition.clone(), offset: 4 };
        CommitHandle { position, generation: *generation }
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_stops_polling_loses_partitions_after_its_limit_and_receives_the_revocation_later()
    {
        let group = Group::new("group".to_owned(), Offsets::new());
        let stopped = group.join(&partitions());
        let before = assigned(&group, stopped);
        assert_eq!(before.len(), 2);
        let waiting = group.join(&partitions());
        let MemberUpdate::Unchanged(Some(at)) = group.poll(waiting).0 else { panic!("nothing to wait for") };
        let almost = at.duration_since(Instant::now() + Duration::from_millis(1));
        tokio::time::advance(almost).await;
        assert_eq!(group.poll(waiting).0, MemberUpdate::Unchanged(Some(at)));
        tokio::time::advance(Duration::from_millis(1)).await;
        let moved = assigned(&group, waiting);
        assert_eq!(moved.len(), 1);
        assert_eq!(group.poll(stopped).0, MemberUpdate::Revoked(vec![moved[0].0.clone()]));
        assert_eq!(group.poll(stopped).0, MemberUpdate::Unchanged(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_stays_while_a_commit_for_it_is_in_flight() {
        let group = Arc::new(Group::new("group".to_owned(), Offsets::new()));
        let changed = Arc::new(watch::Sender::new(0));
        let first = group.join(&partitions());
        let had = assigned(&group, first);
        let second = group.join(&partitions());
        let MemberUpdate::Revoked(gone) = group.poll(first).0 else { panic!("nothing revoked") };
        let going = had.iter().find(|(partition, _)| gone.contains(partition)).unwrap();
        let accepted = group.accept(first, vec![handle(going)], &changed);
        assert_eq!((accepted.offsets.clone(), accepted.stale), (vec![(going.0.clone(), 5)], 0));
        tokio::time::advance(Duration::from_mins(2)).await;
        assert_eq!(group.poll(second).0, MemberUpdate::Unchanged(None), "moved while a commit was in flight");
        drop(accepted);
        assert!(changed.subscribe().borrow().gt(&0), "no member was woken");
        assert_eq!(assigned(&group, second)[0].0, going.0);
        assert_eq!(group.accept(first, vec![handle(going)], &changed).stale, 1);
    }

    #[test]
    fn a_member_that_leaves_frees_its_partitions() {
        let group = Group::new("group".to_owned(), Offsets::new());
        let (first, second) = (group.join(&partitions()), group.join(&partitions()));
        assert_eq!(assigned(&group, first).len(), 1);
        assert_eq!(assigned(&group, second).len(), 1);
        group.leave(first);
        assert_eq!(assigned(&group, second).len(), 1);
        assert_eq!(group.poll(second).0, MemberUpdate::Unchanged(None));
    }
}
