//! Kibana's saved objects: every field that they name is in the template, and in documents of a real run (`logs.rs`).

use std::collections::BTreeSet;

use serde_json::Value;
use service_runtime::LOG_DATA_STREAM;

use crate::compose_file::text;

/// The saved objects.
fn objects() -> Vec<Value> {
    text("kibana/tapedeck.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The query of a saved search, and the data view that it is for.
fn query(object: &Value) -> (String, String) {
    let source = object["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"].as_str().unwrap();
    let source: Value = serde_json::from_str(source).unwrap();
    let view = object["references"][0]["id"].as_str().unwrap().to_owned();
    (source["query"]["query"].as_str().unwrap().to_owned(), view)
}

/// The fields that the saved objects name.
pub(crate) fn fields() -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    for object in objects() {
        let attributes = &object["attributes"];
        if object["type"] == "index-pattern" {
            fields.insert(attributes["timeFieldName"].as_str().unwrap().to_owned());
            continue;
        }
        let columns = attributes["columns"].as_array().unwrap();
        let sorted = attributes["sort"].as_array().unwrap().iter().map(|sort| &sort[0]);
        fields.extend(columns.iter().chain(sorted).map(|name| name.as_str().unwrap().to_owned()));
        // One comparison each: `field : value`.
        let (query, _) = query(&object);
        fields.insert(query.split(" : ").next().unwrap().to_owned());
    }
    fields
}

/// The type of a field in the template.
fn mapped<'a>(template: &'a Value, field: &str) -> Option<&'a str> {
    let mut mapping = &template["template"]["mappings"];
    for part in field.split('.') {
        mapping = &mapping["properties"][part];
    }
    mapping["type"].as_str()
}

#[test]
fn the_saved_objects_are_a_data_view_and_searches_of_it() {
    let objects = objects();
    assert_eq!(objects[0]["type"], "index-pattern");
    assert_eq!(objects[0]["attributes"]["title"], LOG_DATA_STREAM);
    let titles: Vec<&str> = objects[1..]
        .iter()
        .map(|object| {
            assert_eq!(object["type"], "search");
            assert_eq!(query(object).1, objects[0]["id"].as_str().unwrap());
            object["attributes"]["title"].as_str().unwrap()
        })
        .collect();
    assert_eq!(titles, ["Tapedeck: errors", "Tapedeck: one symbol", "Tapedeck: one service"]);
}

#[test]
fn every_field_of_the_saved_objects_is_in_the_template() {
    let template = tracing_elastic::template(LOG_DATA_STREAM, 30);
    for field in fields() {
        assert!(mapped(&template, &field).is_some(), "{field} is not in the template");
    }
}
