//! Who is woken by an alert finds in `docs/runbook.md` what to do.

use std::collections::BTreeSet;

use super::{text, yaml};

const RUNBOOK: &str = "docs/runbook.md";

/// The anchors of a document's headings, as forges make them.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut anchors = BTreeSet::new();
    for line in markdown.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if !fenced && heading.len() < line.len() && heading.starts_with(' ') {
            let kept = heading.trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            anchors.insert(kept.collect::<String>().replace(' ', "-"));
        }
    }
    anchors
}

#[test]
fn every_alert_leads_to_a_section_of_the_runbook() {
    let known = anchors(&text(RUNBOOK));
    let rules = yaml("deploy/prometheus/rules/alerts.yml");
    let rules = rules["groups"].as_array().expect("groups").iter();
    let rules: Vec<_> =
        rules.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect();
    assert!(!rules.is_empty());
    for rule in rules {
        let alert = rule["alert"].as_str().expect("an alert");
        let link = rule["annotations"]["runbook"].as_str().unwrap_or_default();
        let (file, anchor) = link.split_once('#').unwrap_or_default();
        assert_eq!(file, RUNBOOK, "{alert}: {link}");
        assert!(known.contains(anchor), "{alert}: {link} is none of {known:#?}");
    }
}

#[test]
fn the_runbook_refers_to_sections_that_are_there() {
    let runbook = text(RUNBOOK);
    let known = anchors(&runbook);
    let links: Vec<&str> =
        runbook.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(!links.is_empty());
    for link in links {
        assert!(known.contains(link), "#{link} is none of {known:#?}");
    }
}
