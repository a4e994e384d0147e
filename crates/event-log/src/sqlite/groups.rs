//! Consumer groups within the process: who owns which partition, and how far the group has come.
//!
//! A partition moves in steps, so that nothing is worked on twice: its owner is told (`Revoked`), may commit until its
//! next call or until its time is up, then the new owner takes it under a new generation. Only what must move moves.

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

/// How long a member may take from `Revoked` to its next call.
const REVOKED_LIMIT_MS: u64 = 5_000;
/// How long a member may take to ask for events at all while another waits for its partitions.
const SILENT_LIMIT_MS: u64 = 30_000;

/// All groups of one log, by name.
pub(crate) struct Groups(Mutex<HashMap<String, Arc<Group>>>);

impl Groups {
    /// The groups whose offsets are stored; nobody is a member yet.
    pub(crate) fn new(offsets: HashMap<String, Offsets>) -> Self {
        let group =
            |(name, committed): (String, Offsets)| (name.clone(), Arc::new(Group::new(name, committed)));
        Self(Mutex::new(offsets.into_iter().map(group).collect()))
    }

    /// The group, made where it is new.
    pub(crate) fn enter(&self, name: &str) -> Arc<Group> {
        let mut groups = locked(&self.0);
        let fresh = || Arc::new(Group::new(name.to_owned(), Offsets::new()));
        Arc::clone(groups.entry(name.to_owned()).or_insert_with(fresh))
    }

    /// The group, if it was ever there.
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
    /// Taken from a member that kept silent; it is told when it asks.
    lost: HashMap<Member, Vec<TopicPartition>>,
    /// Members that were told that there is nothing for them.
    standing_by: HashSet<Member>,
    committed: Offsets,
}

struct Owner {
    member: Member,
    generation: u64,
    /// When somebody else may take it; set once it shall move.
    give_up_at: Option<Instant>,
    told: bool,
    commits_under_way: u32,
    /// Where this assignment's commits have come to since the last seek; earlier handles change nothing.
    committed_to: u64,
}

/// What a member learns when it asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// These are no longer its own.
    Revoked(Vec<TopicPartition>),
    /// These are, each under its generation.
    Assigned(Vec<(TopicPartition, u64)>),
    /// There is none for it; said once.
    Standby,
    /// All stays as it is; worth queries again at that moment, if any.
    Unchanged(Option<Instant>),
}

/// While it lives, the partitions of a commit stay with their owner.
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
                owner.commits_under_way -= 1;
            }
        }
        drop(state);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What of a commit counts.
pub(crate) struct Accepted {
    /// Where each partition moves to.
    pub(crate) offsets: Vec<(TopicPartition, u64)>,
    /// Handles of assignments that have ended.
    pub(crate) stale: usize,
    /// Keeps the partitions in place.
    pub(crate) permit: CommitPermit,
}

impl Group {
    fn new(name: String, committed: Offsets) -> Self {
        Self { name, state: Mutex::new(State { committed, ..State::default() }) }
    }

    /// A new member that wants these partitions.
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

    /// The member is gone; what it had is free.
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
            owner.told = true;
            owner.give_up_at = Some(now);
        }
        state.rebalance();
    }

    /// What has changed for the member, and whether partitions have become free: queries after `Revoked` gives the
    /// revoked ones up.
    pub(crate) fn turn(&self, member: Member) -> (Turn, bool) {
        let now = Instant::now();
        let mut state = locked(&self.state);
        let before = state.owners.len();
        state
            .owners
            .retain(|_, owner| !(owner.member == member && owner.told && owner.commits_under_way == 0));
        let freed = state.owners.len() < before;
        let revoked = state.tell(member, now);
        let turn = if revoked.is_empty() { state.take(member, now) } else { Turn::Revoked(revoked) };
        (turn, freed)
    }

    /// Sorts out what of the handles counts, and keeps those partitions in place.
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
                owner.commits_under_way += 1;
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

    /// The file holds these offsets now.
    pub(crate) fn set_committed(&self, offsets: &[(Arc<Partition>, u64)]) {
        let mut state = locked(&self.state);
        for (partition, next) in offsets {
            state.committed.insert(partition.id.clone(), *next);
            if let Some(owner) = state.owners.get_mut(&partition.id) {
                owner.committed_to = *next;
            }
        }
    }

    /// Offset behind the last committed record.
    pub(crate) fn committed(&self, partition: &TopicPartition) -> Option<u64> {
        locked(&self.state).committed.get(partition).copied()
    }

    /// From here on also handles before the last commit count: the member has gone back.
    pub(crate) fn sought(&self, partition: &TopicPartition, generation: u64) {
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
        let silent_until = Instant::now() + Duration::from_millis(SILENT_LIMIT_MS);
        for (partition, owner) in &mut self.owners {
            let stays = self.target.get(partition) == Some(&owner.member);
            if !owner.told {
                owner.give_up_at = if stays { None } else { owner.give_up_at.or(Some(silent_until)) };
            }
        }
    }

    /// What the member must hear of, once: what it lost, and what it shall give up.
    fn tell(&mut self, member: Member, now: Instant) -> Vec<TopicPartition> {
        let mut revoked = self.lost.remove(&member).unwrap_or_default();
        let give_up_at = now + Duration::from_millis(REVOKED_LIMIT_MS);
        for (partition, owner) in &mut self.owners {
            let moves = owner.member == member && self.target.get(partition) != Some(&member);
            if moves && !owner.told {
                owner.told = true;
                owner.give_up_at = Some(give_up_at);
                revoked.push(partition.clone());
            }
        }
        revoked.sort();
        revoked
    }

    fn take(&mut self, member: Member, now: Instant) -> Turn {
        let (mut taken, mut ask_again) = (Vec::new(), None::<Instant>);
        let mine = self.target.iter().filter(|(_, owner)| **owner == member);
        let mine: Vec<_> = mine.map(|(partition, _)| partition.clone()).collect();
        if !mine.is_empty() {
            self.standing_by.remove(&member);
        } else if self.standing_by.insert(member) {
            return Turn::Standby;
        }
        for partition in mine {
            if let Some(owner) = self.owners.get(&partition) {
                if owner.member == member && !owner.told {
                    continue;
                }
                match owner.give_up_at {
                    Some(at) if at <= now && owner.commits_under_way == 0 => {
                        if !owner.told {
                            self.lost.entry(owner.member).or_default().push(partition.clone());
                        }
                    }
                    at => {
                        // A commit under way wakes everybody when it ends.
                        let later = at.filter(|at| *at > now);
                        ask_again = [ask_again, later].into_iter().flatten().min();
                        continue;
                    }
                }
            }
            let generation = next_generation();
            let owner = Owner {
                member,
                generation,
                give_up_at: None,
                told: false,
                commits_under_way: 0,
                committed_to: 0,
            };
            self.owners.insert(partition.clone(), owner);
            taken.push((partition, generation));
        }
        taken.sort();
        if taken.is_empty() { Turn::Unchanged(ask_again) } else { Turn::Assigned(taken) }
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
        match group.turn(member).0 {
            Turn::Assigned(partitions) => partitions,
            other => panic!("{other:?}"),
        }
    }

    fn handle((partition, generation): &(TopicPartition, u64)) -> CommitHandle {
        let position = Position { topic_partition: partition.clone(), offset: 4 };
        CommitHandle { position, generation: *generation }
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_never_asks_gives_way_after_the_silent_limit_and_is_told_later() {
        let group = Group::new("group".to_owned(), Offsets::new());
        let silent = group.join(&partitions());
        let before = assigned(&group, silent);
        assert_eq!(before.len(), 2);
        let waiting = group.join(&partitions());
        let Turn::Unchanged(Some(at)) = group.turn(waiting).0 else { panic!("nothing to wait for") };
        let almost = at.duration_since(Instant::now() + Duration::from_millis(1));
        tokio::time::advance(almost).await;
        assert_eq!(group.turn(waiting).0, Turn::Unchanged(Some(at)));
        tokio::time::advance(Duration::from_millis(1)).await;
        let moved = assigned(&group, waiting);
        assert_eq!(moved.len(), 1);
        assert_eq!(group.turn(silent).0, Turn::Revoked(vec![moved[0].0.clone()]));
        assert_eq!(group.turn(silent).0, Turn::Unchanged(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_stays_while_a_commit_for_it_is_under_way() {
        let group = Arc::new(Group::new("group".to_owned(), Offsets::new()));
        let changed = Arc::new(watch::Sender::new(0));
        let first = group.join(&partitions());
        let had = assigned(&group, first);
        let second = group.join(&partitions());
        let Turn::Revoked(gone) = group.turn(first).0 else { panic!("nothing revoked") };
        let going = had.iter().find(|(partition, _)| gone.contains(partition)).unwrap();
        let accepted = group.accept(first, vec![handle(going)], &changed);
        assert_eq!((accepted.offsets.clone(), accepted.stale), (vec![(going.0.clone(), 5)], 0));
        tokio::time::advance(Duration::from_mins(2)).await;
        assert_eq!(group.turn(second).0, Turn::Unchanged(None), "taken while a commit was under way");
        drop(accepted);
        assert!(changed.subscribe().borrow().gt(&0), "nobody was woken");
        assert_eq!(assigned(&group, second)[0].0, going.0);
        assert_eq!(group.accept(first, vec![handle(going)], &changed).stale, 1);
    }

    #[test]
    fn a_member_that_leaves_frees_what_it_had() {
        let group = Group::new("group".to_owned(), Offsets::new());
        let (first, second) = (group.join(&partitions()), group.join(&partitions()));
        assert_eq!(assigned(&group, first).len(), 1);
        assert_eq!(assigned(&group, second).len(), 1);
        group.leave(first);
        assert_eq!(assigned(&group, second).len(), 1);
        assert_eq!(group.turn(second).0, Turn::Unchanged(None));
    }
}
