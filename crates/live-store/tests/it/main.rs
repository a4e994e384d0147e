//! The contract of the live store, run against every adapter, and what is particular to one.

mod best;
mod contract;
mod mongo_place;
mod mongo_urls;
mod old_formats;
mod place;
mod proxy;
mod real_mongodb_only;
mod samples;
mod server_mongo_faults;
mod server_mongo_schema;
mod server_mongo_tls;
mod sqlite_closing;
mod sqlite_damage;
mod sqlite_kill;
mod sqlite_log;
mod sqlite_refusals;
mod tls_wire;

/// Runs a test of the contract against a kind of place; ignored if there is a reason.
macro_rules! contract_test {
    ([$($reason:literal)?], $place:expr, $module:ident::$name:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[ignore = $reason])?
        async fn $name() {
            crate::contract::$module::$name($place).await;
        }
    };
}

macro_rules! contract {
    ($adapter:ident, $ignored:tt, $place:expr, [$($module:ident::$name:ident),* $(,)?]) => {
        mod $adapter {
            $(contract_test!($ignored, $place, $module::$name);)*
        }
    };
}

/// Every adapter's line; the list of tests is written once.
macro_rules! adapters {
    ($($adapter:ident $ignored:tt: $place:expr),* $(,)?) => {
        $(contract!($adapter, $ignored, $place, [
            ticks_writing::every_tick_is_stored_once_and_its_outcome_returned,
            ticks_writing::a_batch_sent_again_changes_nothing,
            ticks_writing::outcomes_agree_with_a_simple_model,
            ticks_writing::prices_times_and_numbers_come_back_exactly,
            ticks_writing::a_large_batch_is_stored_whole,
            ticks_writing::an_empty_batch_changes_nothing,
            ticks_writing::a_time_that_cannot_be_stored_is_refused_and_nothing_of_its_batch_is_stored,
            ticks_writing::a_cancelled_write_can_be_sent_again,
            ticks_writing::several_writers_and_readers_at_once_agree_in_the_end,
            ticks_writing::reopening_finds_everything,
            ticks_reading::pages_show_every_tick_once_in_order,
            ticks_reading::a_page_keeps_to_its_range_and_symbol,
            ticks_reading::a_cursor_that_no_page_returned_is_an_error,
            ticks_reading::a_cursor_from_before_the_range_starts_at_the_range,
            ticks_reading::the_latest_tick_of_every_symbol_is_found,
            candles::every_symbol_with_ticks_or_candles_is_named_once,
            ticks_reading::an_empty_store_returns_nothing,
            candles::a_candle_replaces_that_of_its_identity_and_no_other,
            candles::the_newest_candles_of_a_range_come_oldest_first,
            checkpoints::a_claim_creates_what_is_missing_and_raises_the_generation_of_the_rest,
            checkpoints::a_checkpoint_is_read_as_it_was_saved,
            checkpoints::a_smaller_offset_within_a_generation_changes_nothing,
            checkpoints::an_owner_that_was_replaced_changes_nothing,
            checkpoints::the_first_save_after_a_claim_may_go_back,
            checkpoints::a_partition_that_was_never_claimed_is_refused,
            checkpoints::claims_at_the_same_time_get_different_generations,
            ticks_reading::a_day_is_a_stream_of_its_ticks_in_order,
            ticks_reading::pruning_removes_old_ticks_and_nothing_else,
            candles::pruning_removes_old_minutes_and_nothing_else,
            candles::minutes_of_which_one_was_stored_later_all_stay,
            checkpoints::a_day_is_complete_when_every_partition_was_read_past_its_end,
            jobs::one_owner_at_a_time_has_a_job,
            jobs::the_lease_of_an_owner_that_died_expires,
            jobs::the_newest_finished_run_is_kept,
            mails::a_mail_is_owed_once_and_read_as_it_was_stored,
            mails::the_mail_that_has_been_due_for_longest_is_leased_first,
            mails::one_sender_at_a_time_has_a_mail,
            mails::the_lease_of_a_sender_that_died_expires,
            mails::a_final_state_of_a_mail_stays,
            mails::the_mails_to_a_person_are_found_by_any_spelling,
            mails::pruning_removes_finished_and_expired_mails,
            alerts::a_rule_is_replaced_by_the_next_revision_only,
            alerts::rules_are_listed_by_owner_and_removed,
            alerts::an_alert_is_stored_once_and_changed_by_one_writer_at_a_time,
            alerts::pages_show_every_alert_once_the_newest_first,
            alerts::pending_alerts_come_in_the_order_in_which_they_were_stored,
            alerts::the_first_fact_of_an_identity_stays,
            accounts::of_two_spellings_of_an_address_one_is_a_user,
            accounts::of_several_that_register_an_address_at_once_one_succeeds,
            accounts::a_user_is_read_as_it_was_changed,
            accounts::a_change_of_an_outdated_user_is_refused,
            accounts::users_are_listed_page_by_page_in_the_order_of_registration,
            accounts::a_removed_address_can_be_registered_again,
            accounts::sessions_are_found_renewed_and_removed,
            accounts::expired_sessions_and_tokens_are_pruned,
            accounts::a_token_is_removed_once,
            news::a_story_is_read_as_it_was_written_last,
            news::pages_of_news_show_every_story_once_newest_first,
            news::pruning_removes_stories_that_are_old_and_were_seen_long_ago,
            news::a_source_of_news_is_kept_as_it_was_written_last,
            news::a_digest_is_recorded_once,
            stale_days::marked_days_are_read_by_symbol_and_date,
            stale_days::a_mark_that_was_set_again_is_not_removed,
            feeds::a_gap_is_recorded_once_and_stays_repaired,
            feeds::gaps_are_read_by_symbol_time_and_state_and_pruned,
            feeds::the_circuit_of_a_feed_is_kept_as_it_was_saved_last,
            key_calls::calls_are_taken_up_to_the_limits_of_a_day_and_a_minute,
            key_calls::each_purpose_has_its_share_and_each_key_its_own_calls,
            key_calls::a_new_day_begins_with_all_calls_and_old_keys_are_removed,
            key_calls::several_processes_take_no_more_than_the_limit,
            key_calls::calls_outlive_a_restart,
        ]);)*
    };
}

adapters! {
    sqlite []: crate::place::SqlitePlace::new(),
    server_mongo ["needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]:
        crate::mongo_place::MongoPlace::new(),
    real_mongodb ["needs a MongoDB, which MONGODB_URI names: `make test-servers-strict`"]:
        crate::mongo_place::MongoPlace::real(),
}

// Without the test of two owners of partitions: the file has one process.
contract!(
    sqlite_alone,
    [],
    crate::place::AlonePlace::new(),
    [
        ticks_writing::every_tick_is_stored_once_and_its_outcome_returned,
        ticks_writing::a_batch_sent_again_changes_nothing,
        ticks_writing::outcomes_agree_with_a_simple_model,
        ticks_writing::prices_times_and_numbers_come_back_exactly,
        ticks_writing::a_large_batch_is_stored_whole,
        ticks_writing::an_empty_batch_changes_nothing,
        ticks_writing::a_time_that_cannot_be_stored_is_refused_and_nothing_of_its_batch_is_stored,
        ticks_writing::a_cancelled_write_can_be_sent_again,
        ticks_writing::several_writers_and_readers_at_once_agree_in_the_end,
        ticks_writing::reopening_finds_everything,
        ticks_reading::pages_show_every_tick_once_in_order,
        ticks_reading::a_page_keeps_to_its_range_and_symbol,
        ticks_reading::a_cursor_that_no_page_returned_is_an_error,
        ticks_reading::a_cursor_from_before_the_range_starts_at_the_range,
        ticks_reading::the_latest_tick_of_every_symbol_is_found,
        candles::every_symbol_with_ticks_or_candles_is_named_once,
        ticks_reading::an_empty_store_returns_nothing,
        candles::a_candle_replaces_that_of_its_identity_and_no_other,
        candles::the_newest_candles_of_a_range_come_oldest_first,
        checkpoints::a_claim_creates_what_is_missing_and_raises_the_generation_of_the_rest,
        checkpoints::a_checkpoint_is_read_as_it_was_saved,
        checkpoints::a_smaller_offset_within_a_generation_changes_nothing,
        checkpoints::an_owner_that_was_replaced_changes_nothing,
        checkpoints::the_first_save_after_a_claim_may_go_back,
        checkpoints::a_partition_that_was_never_claimed_is_refused,
        ticks_reading::a_day_is_a_stream_of_its_ticks_in_order,
        ticks_reading::pruning_removes_old_ticks_and_nothing_else,
        candles::pruning_removes_old_minutes_and_nothing_else,
        checkpoints::a_day_is_complete_when_every_partition_was_read_past_its_end,
        jobs::one_owner_at_a_time_has_a_job,
        jobs::the_lease_of_an_owner_that_died_expires,
        jobs::the_newest_finished_run_is_kept,
        mails::a_mail_is_owed_once_and_read_as_it_was_stored,
        mails::the_mail_that_has_been_due_for_longest_is_leased_first,
        mails::one_sender_at_a_time_has_a_mail,
        mails::the_lease_of_a_sender_that_died_expires,
        mails::a_final_state_of_a_mail_stays,
        mails::the_mails_to_a_person_are_found_by_any_spelling,
        mails::pruning_removes_finished_and_expired_mails,
        alerts::a_rule_is_replaced_by_the_next_revision_only,
        alerts::rules_are_listed_by_owner_and_removed,
        alerts::an_alert_is_stored_once_and_changed_by_one_writer_at_a_time,
        alerts::pages_show_every_alert_once_the_newest_first,
        alerts::pending_alerts_come_in_the_order_in_which_they_were_stored,
        alerts::the_first_fact_of_an_identity_stays,
        accounts::of_two_spellings_of_an_address_one_is_a_user,
        accounts::of_several_that_register_an_address_at_once_one_succeeds,
        accounts::a_user_is_read_as_it_was_changed,
        accounts::a_change_of_an_outdated_user_is_refused,
        accounts::users_are_listed_page_by_page_in_the_order_of_registration,
        accounts::a_removed_address_can_be_registered_again,
        accounts::sessions_are_found_renewed_and_removed,
        accounts::expired_sessions_and_tokens_are_pruned,
        accounts::a_token_is_removed_once,
        news::a_story_is_read_as_it_was_written_last,
        news::pages_of_news_show_every_story_once_newest_first,
        news::pruning_removes_stories_that_are_old_and_were_seen_long_ago,
        news::a_source_of_news_is_kept_as_it_was_written_last,
        news::a_digest_is_recorded_once,
        stale_days::marked_days_are_read_by_symbol_and_date,
        stale_days::a_mark_that_was_set_again_is_not_removed,
        feeds::a_gap_is_recorded_once_and_stays_repaired,
        feeds::gaps_are_read_by_symbol_time_and_state_and_pruned,
        feeds::the_circuit_of_a_feed_is_kept_as_it_was_saved_last,
        key_calls::calls_are_taken_up_to_the_limits_of_a_day_and_a_minute,
        key_calls::each_purpose_has_its_share_and_each_key_its_own_calls,
        key_calls::a_new_day_begins_with_all_calls_and_old_keys_are_removed,
        key_calls::several_processes_take_no_more_than_the_limit,
        key_calls::calls_outlive_a_restart,
    ]
);

// Few documents: it reads a whole collection for every question. No concurrent updates of one document, which it loses.
contract!(
    ferretdb,
    ["needs a FerretDB, which FERRETDB_URL names: `make test-servers-strict`"],
    crate::mongo_place::MongoPlace::ferretdb(),
    [
        ticks_writing::every_tick_is_stored_once_and_its_outcome_returned,
        ticks_writing::a_batch_sent_again_changes_nothing,
        ticks_writing::prices_times_and_numbers_come_back_exactly,
        ticks_writing::an_empty_batch_changes_nothing,
        ticks_writing::a_time_that_cannot_be_stored_is_refused_and_nothing_of_its_batch_is_stored,
        ticks_writing::reopening_finds_everything,
        ticks_reading::pages_show_every_tick_once_in_order,
        ticks_reading::a_page_keeps_to_its_range_and_symbol,
        ticks_reading::a_cursor_that_no_page_returned_is_an_error,
        ticks_reading::a_cursor_from_before_the_range_starts_at_the_range,
        ticks_reading::the_latest_tick_of_every_symbol_is_found,
        candles::every_symbol_with_ticks_or_candles_is_named_once,
        ticks_reading::an_empty_store_returns_nothing,
        candles::a_candle_replaces_that_of_its_identity_and_no_other,
        candles::the_newest_candles_of_a_range_come_oldest_first,
        checkpoints::a_claim_creates_what_is_missing_and_raises_the_generation_of_the_rest,
        checkpoints::a_checkpoint_is_read_as_it_was_saved,
        checkpoints::a_smaller_offset_within_a_generation_changes_nothing,
        checkpoints::an_owner_that_was_replaced_changes_nothing,
        checkpoints::the_first_save_after_a_claim_may_go_back,
        checkpoints::a_partition_that_was_never_claimed_is_refused,
        jobs::one_owner_at_a_time_has_a_job,
        jobs::the_lease_of_an_owner_that_died_expires,
        jobs::the_newest_finished_run_is_kept,
        mails::a_mail_is_owed_once_and_read_as_it_was_stored,
        mails::the_mail_that_has_been_due_for_longest_is_leased_first,
        mails::one_sender_at_a_time_has_a_mail,
        mails::the_lease_of_a_sender_that_died_expires,
        mails::a_final_state_of_a_mail_stays,
        mails::the_mails_to_a_person_are_found_by_any_spelling,
        mails::pruning_removes_finished_and_expired_mails,
        alerts::a_rule_is_replaced_by_the_next_revision_only,
        alerts::rules_are_listed_by_owner_and_removed,
        alerts::an_alert_is_stored_once_and_changed_by_one_writer_at_a_time,
        alerts::pages_show_every_alert_once_the_newest_first,
        alerts::pending_alerts_come_in_the_order_in_which_they_were_stored,
        alerts::the_first_fact_of_an_identity_stays,
        accounts::of_two_spellings_of_an_address_one_is_a_user,
        accounts::a_user_is_read_as_it_was_changed,
        accounts::a_change_of_an_outdated_user_is_refused,
        accounts::users_are_listed_page_by_page_in_the_order_of_registration,
        accounts::a_removed_address_can_be_registered_again,
        accounts::sessions_are_found_renewed_and_removed,
        accounts::expired_sessions_and_tokens_are_pruned,
        accounts::a_token_is_removed_once,
        news::a_story_is_read_as_it_was_written_last,
        news::pages_of_news_show_every_story_once_newest_first,
        news::pruning_removes_stories_that_are_old_and_were_seen_long_ago,
        news::a_source_of_news_is_kept_as_it_was_written_last,
        news::a_digest_is_recorded_once,
        stale_days::marked_days_are_read_by_symbol_and_date,
        stale_days::a_mark_that_was_set_again_is_not_removed,
        feeds::a_gap_is_recorded_once_and_stays_repaired,
        feeds::gaps_are_read_by_symbol_time_and_state_and_pruned,
        feeds::the_circuit_of_a_feed_is_kept_as_it_was_saved_last,
        key_calls::calls_are_taken_up_to_the_limits_of_a_day_and_a_minute,
        key_calls::each_purpose_has_its_share_and_each_key_its_own_calls,
        key_calls::a_new_day_begins_with_all_calls_and_old_keys_are_removed,
        key_calls::calls_outlive_a_restart,
    ]
);
