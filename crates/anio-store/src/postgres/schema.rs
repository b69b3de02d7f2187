//! The tables, for the queries that diesel builds.
//!
//! Columns of the type `json` stand here as `Text`: both have the same binary form, and the engine wants
//! the text as it was written. For that reason none of these columns may be compared or inserted through
//! the query builder.

diesel::table! {
    anio_runs (id) {
        id -> Uuid,
        workflow -> Text,
        plan -> Text,
        status -> Text,
        priority -> Integer,
        epoch -> BigInt,
        worker -> Nullable<Uuid>,
        submitted_at -> BigInt,
        started_at -> Nullable<BigInt>,
        finished_at -> Nullable<BigInt>,
        failure -> Nullable<Text>,
        parked_reason -> Nullable<Text>,
        input -> Text,
        due_at -> Nullable<BigInt>,
        deadline -> Nullable<BigInt>,
        idempotency_key -> Nullable<Text>,
        tags -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        requested -> Nullable<Text>,
        news -> BigInt,
    }
}

diesel::table! {
    anio_tags (tag, run_id) {
        tag -> Text,
        run_id -> Uuid,
    }
}

diesel::allow_tables_to_appear_in_same_query!(anio_runs, anio_tags, anio_attempts);

diesel::table! {
    anio_attempts (run_id, seq) {
        run_id -> Uuid,
        seq -> BigInt,
        task -> Text,
        map_index -> Nullable<BigInt>,
        attempt -> BigInt,
        kind -> Text,
        at -> BigInt,
        started_at -> Nullable<BigInt>,
        retry_at -> Nullable<BigInt>,
        width -> Nullable<BigInt>,
        failure -> Nullable<Text>,
        writes -> Nullable<Text>,
        output -> Nullable<Text>,
    }
}

diesel::table! {
    anio_workers (id) {
        id -> Uuid,
        name -> Text,
        registered_at -> BigInt,
        expires_at -> BigInt,
        lost_at -> Nullable<BigInt>,
        last_commit -> BigInt,
        session_lock -> Bool,
    }
}

diesel::table! {
    anio_plans (fingerprint) {
        fingerprint -> Text,
        workflow -> Text,
        record -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    anio_migrations (version) {
        version -> Text,
        name -> Text,
        applied_at -> BigInt,
    }
}
