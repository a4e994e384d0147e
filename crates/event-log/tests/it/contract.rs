//! Runs the contract on each adapter. The Kafka half is ignored by default: it needs a server.

macro_rules! run_by_both {
    ($($module:ident: $($name:ident),+ $(,)?;)+) => {
        mod sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() -> anyhow::Result<()> {
                    crate::$module::$name(&crate::fixture::Fixture::sqlite()?).await
                }
            )+)+
        }

        mod kafka_server {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
                async fn $name() -> anyhow::Result<()> {
                    crate::$module::$name(&crate::fixture::Fixture::kafka()?).await
                }
            )+)+
        }
    };
}

run_by_both! {
    records:
        records_of_one_key_keep_their_order,
        a_key_maps_to_the_partition_of_the_java_client,
        records_without_a_key_are_distributed_over_the_partitions,
        a_record_over_the_limit_is_refused_with_its_whole_batch,
        a_message_has_the_content_of_its_record,
        an_unknown_topic_or_partition_is_named,
        an_invalid_topic_is_refused,
        creating_an_existing_topic_does_not_change_it,
        a_partition_can_be_read_without_a_group,
        a_dead_letter_has_the_origin_of_its_message,
        a_dead_letter_of_the_largest_message_is_a_valid_record,
        a_delivery_of_large_records_is_limited_by_their_size,
        a_batch_is_stored_even_if_its_receipt_is_dropped,
        records_and_committed_offsets_survive_reopening;
    groups:
        uncommitted_messages_are_delivered_again,
        two_groups_each_receive_all_messages,
        delivery_starts_at_the_position_of_the_caller,
        a_paused_partition_delivers_nothing_and_loses_nothing,
        a_seek_to_an_earlier_offset_delivers_again,
        an_offset_is_committed_without_a_message,
        topics_have_identities_and_bounds,
        an_earlier_handle_does_not_reduce_the_committed_offset,
        lag_counts_uncommitted_records,
        a_cancelled_call_loses_nothing,
        a_slow_reader_has_bounded_memory;
    moving:
        two_members_share_the_partitions_and_the_last_one_takes_over,
        a_handle_of_an_ended_assignment_is_ignored,
        a_member_without_partitions_is_on_standby_and_takes_over_later,
        a_member_that_stops_polling_loses_its_revoked_partitions,
        revoked_partitions_can_be_committed_until_the_next_call;
}
