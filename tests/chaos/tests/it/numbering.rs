use chaos::ledger::{Ledger, Numbers, Said};

#[test]
fn numbers_are_never_handed_out_twice_whenever_the_program_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut highest = 0;
    for _ in 0..5 {
        let said = Said::read(&path).unwrap();
        let mut ledger = Ledger::open(&path).unwrap();
        let mut numbers = Numbers::behind(&said);
        for count in [1, 499, 3_000, 4_000] {
            let first = numbers.take(1, count, &mut ledger).unwrap();
            assert!(first > highest, "{first} was handed out before");
            highest = first + count - 1;
        }
        // Killed within the next line.
        ledger.write("a 1 99").unwrap();
    }
    let said = Said::read(&path).unwrap();
    assert!(said.reserved[1] > highest);
    assert_eq!(said.acknowledged_len(), 0);
}

#[test]
fn a_ledger_tells_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    Ledger::open(&path).unwrap().write("r 0 5001\np 0 100 2 33\na 0 1 100\na 1 7 9\n").unwrap();
    let said = Said::read(&path).unwrap();
    assert_eq!(said.acknowledged_len(), 103);
    assert_eq!((said.poison[0].seq, said.poison[0].partition, said.poison[0].offset), (100, 2, 33));
    assert!(said.acknowledged[1].contains(8) && !said.acknowledged[1].contains(10));
}

#[test]
fn a_line_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    std::fs::write(&path, "a 0 1 2\na 7 1 2\n").unwrap();
    let error = format!("{:#}", Said::read(&path).unwrap_err());
    assert!(error.contains(":2: `a 7 1 2`"), "{error}");
}
