//! Reads a file of documents, each with its length in a line before it, and writes for each a line: its JSON written anew, or
//! "invalid". A test compares that with what another reader makes of them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use gatehouse::json::Json;
use gatehouse::{Kind, Value};

fn rewritten(value: &Value) -> Json {
    match value.kind() {
        Kind::String => value.text().into(),
        Kind::Array => Json::Array(value.items().iter().map(rewritten).collect()),
        Kind::Object => Json::Object(value.members().iter().map(|(key, value)| (key.clone(), rewritten(value))).collect()),
        _ => Json::Raw(value.text().to_owned()),
    }
}

fn main() -> gatehouse::Result<()> {
    let mut input = BufReader::new(File::open(std::env::args().nth(1).ok_or("name a file")?)?);
    let mut length = String::new();
    while input.read_line(&mut length)? > 0 {
        let mut document = vec![0; length.trim_end().parse()?];
        input.read_exact(&mut document)?;
        match Value::parse(&String::from_utf8(document)?) {
            Some(value) => println!("{}", rewritten(&value)),
            None => println!("invalid"),
        }
        length.clear();
    }
    Ok(())
}
