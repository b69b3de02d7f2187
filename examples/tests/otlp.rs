//! The example that exports its spans sends them to the endpoint that the environment names.

use std::process::Command;

use anio_testkit::otlp::Receiver;

#[test]
fn the_spans_go_to_the_endpoint_of_the_environment() {
    let receiver = Receiver::start().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_otlp"));
    let output = program.env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let mut names = Vec::new();
    for body in receiver.bodies("/v1/traces") {
        let request: serde_json::Value = serde_json::from_str(&body).unwrap();
        for resource in request["resourceSpans"].as_array().unwrap() {
            assert!(resource["resource"].to_string().contains("album"));
            let scopes = resource["scopeSpans"].as_array().unwrap().iter();
            let spans = scopes.flat_map(|scope| scope["spans"].as_array().unwrap());
            names.extend(spans.map(|span| span["name"].as_str().unwrap().to_owned()));
        }
    }
    names.sort();
    let wanted = [["attempt"; 3].as_slice(), &["item"; 8], &["run"]].concat();
    assert_eq!(names, wanted);
}
