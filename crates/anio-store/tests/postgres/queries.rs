//! The queries that the guide to operations shows are understood by Postgres, too. (What they find is tested on
//! SQLite, with the examples.)

use anio_testkit::postgres::test_database;

use crate::support::open;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");

#[test]
fn the_queries_of_the_guide_are_understood() {
    let Some(database) = test_database() else { return };
    open(&database);
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    let blocks = guide.split("\n```sql\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    let queries: Vec<&str> = blocks.filter(|block| block.contains("\nselect")).collect();
    assert_eq!(queries.len(), 12);
    for query in queries {
        let rows = database.query(query).unwrap_or_else(|error| panic!("{query}\n{error}"));
        assert!(rows.is_empty(), "{query}");
    }
}
