//! The tables, for the queries that diesel builds.

diesel::table! {
    anio_runs (id) {
        id -> Text,
        workflow -> Text,
        plan -> Text,
        status -> Text,
        priority -> Integer,
        epoch -> BigInt,
        worker -> Nullable<Text>,
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
        run_id -> Text,
    }
}

diesel::table! {
    anio_attempts (seq) {
        seq -> BigInt,
        run_id -> Text,
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
        id -> Text,
        name -> Text,
        registered_at -> BigInt,
        expires_at -> BigInt,
        lost_at -> Nullable<BigInt>,
        last_commit -> BigInt,
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
    anio_rates (name) {
        name -> Text,
        tat -> BigInt,
    }
}

diesel::table! {
    anio_migrations (version) {
        version -> Text,
        name -> Text,
        applied_at -> BigInt,
    }
}
