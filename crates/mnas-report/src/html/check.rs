//! A strict reader of markup for tests: tags nest and close, attributes are quoted and unique, text
//! is escaped.

/// Elements of HTML that have no closing tag.
const VOID: [&str; 6] = ["meta", "br", "input", "link", "img", "hr"];

/// Number of elements, or what is wrong and where. `xml` refuses HTML's void elements.
pub(crate) fn well_formed(text: &str, xml: bool) -> Result<usize, String> {
    let mut rest = text.strip_prefix("<!DOCTYPE html>").unwrap_or(text);
    let (mut open, mut elements): (Vec<&str>, usize) = (vec![], 0);
    loop {
        let Some(at) = rest.find('<') else {
            plain(rest)?;
            break;
        };
        plain(&rest[..at])?;
        rest = &rest[at + 1..];
        let end = tag_end(rest).ok_or("a tag isn't closed by '>'")?;
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("</{name}> closes {last:?}"));
            }
            continue;
        }
        elements += 1;
        let name = tag.split(' ').next().unwrap_or_default();
        attributes(tag[name.len()..].trim_start()).map_err(|e| format!("<{name}>: {e}"))?;
        if !xml && VOID.contains(&name) {
            continue;
        }
        open.push(name);
        if name == "style" || name == "script" {
            let close = format!("</{name}>");
            let at = rest.find(&close).ok_or(format!("{close} is missing"))?;
            if xml {
                plain(&rest[..at])?;
            }
            rest = &rest[at..];
        }
    }
    match open.is_empty() {
        true => Ok(elements),
        false => Err(format!("not closed: {open:?}")),
    }
}

/// Where the tag ends: the first '>' outside quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quoted = false;
    tag.char_indices().find_map(|(i, c)| {
        quoted ^= c == '"';
        (c == '>' && !quoted).then_some(i)
    })
}

/// Text between tags: every '&' starts one of the entities that the writer uses.
fn plain(text: &str) -> Result<(), String> {
    let known = ["amp;", "lt;", "gt;", "quot;"];
    for (i, _) in text.match_indices('&') {
        if !known.iter().any(|k| text[i + 1..].starts_with(k)) {
            return Err(format!("unescaped '&' before {:?}", text[i..].get(..20)));
        }
    }
    Ok(())
}

fn attributes(mut rest: &str) -> Result<(), String> {
    let mut seen: Vec<&str> = vec![];
    while !rest.is_empty() {
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let name = &rest[..end];
        let good = |c: char| c.is_ascii_alphanumeric() || "-:".contains(c);
        if name.is_empty() || !name.chars().all(good) || seen.contains(&name) {
            return Err(format!("bad or repeated attribute {name:?}"));
        }
        seen.push(name);
        rest = &rest[end..];
        if let Some(value) = rest.strip_prefix("=\"") {
            let end = value.find('"').ok_or("value isn't closed")?;
            if value[..end].contains('<') {
                return Err(format!("'<' in {name}"));
            }
            plain(&value[..end])?;
            rest = &value[end + 1..];
        } else if rest.starts_with('=') {
            return Err(format!("{name} isn't quoted"));
        }
        rest = rest.trim_start();
    }
    Ok(())
}

#[test]
fn the_reader_finds_faults() {
    assert_eq!(well_formed("<p class=\"a\">1 &lt; 2<br></p>", false), Ok(2));
    for bad in [
        "<p>",
        "<p></b>",
        "<p class=a></p>",
        "<p a=\"1\" a=\"2\"></p>",
        "a & b",
        "<p title=\"<\"></p>",
        "<p title=\"a\"b\"></p>",
    ] {
        assert!(well_formed(bad, false).is_err(), "{bad}");
    }
    assert!(well_formed("<p><br></p>", true).is_err());
}
