//! Assignment of partitions to members. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::TopicPartition;

/// Number of a member of a group, never reused.
pub(crate) type Member = u64;

/// Distributes the partitions evenly, and moves as few of them as possible. Returns the owner of each partition.
///
/// `wanted` has, for each partition, the members that have subscribed to it; `owners` has the current owners.
pub(crate) fn balance(
    wanted: &BTreeMap<TopicPartition, Vec<Member>>,
    owners: &HashMap<TopicPartition, Member>,
) -> HashMap<TopicPartition, Member> {
    let mut load: BTreeMap<Member, usize> = BTreeMap::new();
    for member in wanted.values().flatten() {
        load.entry(*member).or_default();
    }
    let mut target = HashMap::new();
    for (partition, members) in wanted {
        if let Some(owner) = owners.get(partition).filter(|owner| members.contains(owner)) {
            *load.entry(*owner).or_default() += 1;
            target.insert(partition.clone(), *owner);
        }
    }
    for (partition, members) in wanted {
        if target.contains_key(partition) {
            continue;
        }
        if let Some(member) = least_loaded(members, &load) {
            *load.entry(member).or_default() += 1;
            target.insert(partition.clone(), member);
        }
    }
    // Each round moves a partition from a member to one with at least two fewer, so the loads get closer each time.
    while let Some((partition, from, to)) = one_move(wanted, &target, &load) {
        *load.entry(from).or_default() -= 1;
        *load.entry(to).or_default() += 1;
        target.insert(partition, to);
    }
    target
}

fn least_loaded(members: &[Member], load: &BTreeMap<Member, usize>) -> Option<Member> {
    members.iter().copied().min_by_key(|member| (load.get(member).copied().unwrap_or(0), *member))
}

fn one_move(
    wanted: &BTreeMap<TopicPartition, Vec<Member>>,
    target: &HashMap<TopicPartition, Member>,
    load: &BTreeMap<Member, usize>,
) -> Option<(TopicPartition, Member, Member)> {
    let load_of = |member: Member| load.get(&member).copied().unwrap_or(0);
    let possible = wanted.iter().rev().filter_map(|(partition, members)| {
        let from = *target.get(partition)?;
        let to = least_loaded(members, load)?;
        (load_of(from) >= load_of(to) + 2).then(|| (partition.clone(), from, to))
    });
    // From the member with the most partitions, so that the others keep theirs.
    possible.max_by_key(|(_, from, _)| load_of(*from))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn partitions(topic: &str, count: i32, members: &[Member]) -> BTreeMap<TopicPartition, Vec<Member>> {
        let topic: Arc<str> = Arc::from(topic);
        (0..count)
            .map(|partition| (TopicPartition { topic: Arc::clone(&topic), partition }, members.to_vec()))
            .collect()
    }

    fn loads(target: &HashMap<TopicPartition, Member>, members: &[Member]) -> Vec<usize> {
        members.iter().map(|member| target.values().filter(|owner| *owner == member).count()).collect()
    }

    #[test]
    fn two_topics_together_are_distributed_evenly() {
        let mut wanted = partitions("a", 3, &[1, 2]);
        wanted.extend(partitions("b", 3, &[1, 2]));
        assert_eq!(loads(&balance(&wanted, &HashMap::new()), &[1, 2]), [3, 3]);
    }

    #[test]
    fn a_new_member_takes_only_its_share() {
        let before = balance(&partitions("a", 6, &[1, 2]), &HashMap::new());
        let after = balance(&partitions("a", 6, &[1, 2, 3]), &before);
        let moved = before.iter().filter(|(partition, owner)| after[*partition] != **owner).count();
        assert_eq!(moved, 2);
        assert_eq!(loads(&after, &[1, 2, 3]), [2, 2, 2]);
    }

    proptest! {
        #[test]
        fn every_partition_has_one_eligible_owner_and_loads_differ_by_one(
            count in 1..40_i32,
            members in prop::collection::btree_set(0..20_u64, 1..8),
            old in prop::collection::vec(0..20_u64, 40),
        ) {
            let members: Vec<_> = members.into_iter().collect();
            let wanted = partitions("a", count, &members);
            let owners = wanted.keys().cloned().zip(old).collect();
            let target = balance(&wanted, &owners);
            prop_assert_eq!(target.len(), count as usize);
            prop_assert!(target.values().all(|owner| members.contains(owner)));
            let loads = loads(&target, &members);
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
        }
    }
}
