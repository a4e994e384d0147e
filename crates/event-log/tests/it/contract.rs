//! Runs the contract against each adapter. The Kafka half is ignored, unless it is asked for: it needs a server.

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
        a_key_goes_where_the_java_client_puts_it,
        records_without_a_key_are_spread,
        a_record_over_the_limit_is_refused_with_its_whole_batch,
        a_record_comes_back_as_it_was_sent,
        an_unknown_topic_or_partition_is_named,
        a_topic_that_cannot_be_is_refused,
        creating_a_topic_again_leaves_it_as_it_is,
        a_partition_can_be_read_without_a_group,
        a_dead_letter_tells_where_it_came_from,
        a_dead_letter_is_a_record_whatever_was_received,
        a_delivery_of_large_records_ends_before_its_number,
        a_batch_is_stored_whether_its_receipt_is_kept_or_not,
        records_and_positions_are_there_after_opening_again;
    groups:
        what_was_not_committed_is_delivered_again,
        two_groups_each_get_everything,
        reading_begins_where_the_caller_says,
        a_paused_partition_is_silent_and_loses_nothing,
        seeking_back_delivers_again,
        a_position_is_committed_without_a_message,
        topics_have_identities_and_bounds,
        an_earlier_handle_does_not_move_the_position_back,
        lag_counts_what_was_not_committed,
        a_cancelled_call_loses_nothing,
        a_slow_reader_costs_bounded_memory;
    moving:
        two_members_share_and_the_last_one_takes_over,
        a_handle_of_an_assignment_that_ended_is_left_out,
        a_member_that_gets_nothing_hears_so_and_takes_over_later,
        a_member_that_does_not_answer_gives_way,
        revoked_partitions_can_be_committed_until_the_next_call;
}
