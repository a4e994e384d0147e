use chaos::ledger::{Ledger, LedgerContent, SeqAllocator};

#[test]
fn numbers_are_allocated_once_also_across_kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut highest = 0;
    for _ in 0..5 {
        let content = LedgerContent::read(&path).unwrap();
        let mut ledger = Ledger::open(&path).unwrap();
        let mut numbers = SeqAllocator::after(&content);
        for count in [1, 499, 3_000, 4_000] {
            let first = numbers.take(1, count, &mut ledger).unwrap();
            assert!(first > highest, "{first} was allocated before");
            highest = first + count - 1;
        }
        // An incomplete line, as after a kill.
        ledger.write("a 1 99").unwrap();
    }
    let content = LedgerContent::read(&path).unwrap();
    assert!(content.reserved[1] > highest);
    assert_eq!(content.acknowledged_len(), 0);
}

#[test]
fn a_ledger_has_the_acknowledged_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    Ledger::open(&path).unwrap().write("r 0 5001\np 0 100 2 33\na 0 1 100\na 1 7 9\n").unwrap();
    let content = LedgerContent::read(&path).unwrap();
    assert_eq!(content.acknowledged_len(), 103);
    assert_eq!((content.poison[0].seq, content.poison[0].partition, content.poison[0].offset), (100, 2, 33));
    assert!(content.acknowledged[1].contains(8) && !content.acknowledged[1].contains(10));
}

#[test]
fn an_invalid_line_is_reported_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    std::fs::write(&path, "a 0 1 2\na 7 1 2\n").unwrap();
    let error = format!("{:#}", LedgerContent::read(&path).unwrap_err());
    assert!(error.contains(":2: `a 7 1 2`"), "{error}");
}
