//! Two hundred requests that mean no good: the server stays up and tells nothing.

use super::*;

/// Requests as bytes; `HOST` stands for the server's address and `COOKIE` for its owner's cookie.
fn requests() -> Vec<Vec<u8>> {
    let mut list: Vec<String> = vec![];
    let get = |path: &str, lines: &str| format!("GET {path} HTTP/1.1\r\nHost: HOST\r\n{lines}\r\n");
    // Out of the folder, in every spelling, with and without the token.
    for way in [
        "..",
        "%2e%2e",
        "%252e%252e",
        "..%2f..",
        "..%5c..",
        "....//",
        "%c0%ae%c0%ae",
        ".%00.",
        "~root",
    ] {
        for file in ["secret", "etc/passwd", "study.db", "study.lock"] {
            for lines in ["", "COOKIE\r\n"] {
                list.push(get(&format!("/file/{way}/{file}"), lines));
            }
        }
        list.push(get(&format!("/{way}/secret"), ""));
        list.push(get(&format!("/assets/{way}/{way}/secret"), ""));
        list.push(get(&format!("/trial/{way}"), ""));
    }
    // Tokens that are wrong, repeated, long, or not text.
    for token in [
        "",
        "x",
        "0123456789abcdef0123456789abcdee",
        "0123456789abcdef0123456789abcdef0",
        "%00",
        "TOKEN%20",
    ] {
        list.push(get(&format!("/?token={token}"), ""));
        list.push(get("/stop", &format!("Cookie: mnas-token-1={token}\r\n")));
        list.push(format!("POST /stop HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\nCookie: mnas-token={token}\r\nContent-Length: 0\r\n\r\n"));
    }
    list.push(get(&format!("/?token={}", "a".repeat(9_000)), ""));
    // Names that someone else's DNS may point here, and none.
    for host in [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1",
        "[::1",
        "[]:1",
        "",
        "a b",
        "localhost:0",
        "0x7f.1:80",
        "localhost:99999",
    ] {
        list.push(format!("GET / HTTP/1.1\r\nHost: {host}\r\nCOOKIE\r\n\r\n"));
    }
    list.push("GET / HTTP/1.1\r\nCOOKIE\r\n\r\n".into());
    list.push("GET / HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n".into());
    // From other sites.
    for origin in [
        "null",
        "http://evil.example",
        "https://HOST",
        "http://HOST.evil.example",
        "http://HOST@evil.example",
        "",
    ] {
        for path in ["/stop", "/promote/1", "/promote/18446744073709551616"] {
            list.push(format!("POST {path} HTTP/1.1\r\nHost: HOST\r\nOrigin: {origin}\r\nCOOKIE\r\nContent-Length: 0\r\n\r\n"));
        }
        list.push(get(
            "/live",
            &format!("Origin: {origin}\r\nSec-Fetch-Site: cross-site\r\nCOOKIE\r\n"),
        ));
    }
    // Methods, versions and heads that aren't any.
    for method in [
        "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "FOO", "get",
    ] {
        list.push(format!(
            "{method} / HTTP/1.1\r\nHost: HOST\r\nCOOKIE\r\n\r\n"
        ));
        list.push(format!("{method} /stop HTTP/1.1\r\nHost: HOST\r\n\r\n"));
    }
    for head in [
        "",
        "\r\n\r\n\r\n",
        "GET",
        "GET /",
        "GET / HTTP/9.9\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost HOST\r\n\r\n",
        "GET / HTTP/1.1\nHost: HOST\n\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
        "GET /\u{0} HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "GET /é HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "POST /stop HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nffffffffffffffff\r\n",
        "POST /stop HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\n",
        "POST /stop HTTP/1.1\r\nHost: HOST\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: HOST\r\nRange: bytes=0-18446744073709551615\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ] {
        list.push(head.into());
    }
    // Too much of everything.
    list.push(get(&format!("/{}", "a".repeat(20_000)), ""));
    list.push(get("/", &format!("X: {}\r\n", "b".repeat(20_000))));
    list.push(get(
        "/",
        &(0..300)
            .map(|i| format!("X-{i}: 1\r\n"))
            .collect::<String>(),
    ));
    list.push(format!(
        "POST /stop HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2000000\r\n\r\n{}",
        "c".repeat(2_000_000)
    ));
    list.push(get(
        &format!("/trials?q={}", "%ff".repeat(2_000)),
        "COOKIE\r\n",
    ));
    list.push(get(
        &format!("/compare?{}", "t=1&".repeat(3_000)),
        "COOKIE\r\n",
    ));
    list.push(get(
        "/trials?page=-1&sort=%00&order=<script>&q=<script>alert(1)</script>",
        "COOKIE\r\n",
    ));
    let mut list: Vec<Vec<u8>> = list.into_iter().map(String::into_bytes).collect();
    // Bytes that are no text.
    list.extend((0u8..12).map(|i| {
        (0..400u32)
            .map(|n| (n * 37 + u32::from(i) * 101) as u8)
            .collect()
    }));
    list
}

#[test]
fn two_hundred_hostile_requests_leave_the_server_up_and_leak_nothing() {
    let server = Server::on(sample(24, true));
    let study = server.folder.path().join("study");
    std::fs::create_dir_all(&study).unwrap();
    for name in [
        "secret",
        "study/study.db",
        "study/study.lock",
        "study/secret",
    ] {
        std::fs::write(server.folder.path().join(name), "KEEP-THIS").unwrap();
    }
    let requests = requests();
    assert!(requests.len() >= 200, "{} requests", requests.len());
    // Slow clients, which begin and never end.
    let idle: Vec<TcpStream> = (0..40)
        .map(|i| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            let begun = &"GET / HTTP/1.1\r\nHost: x\r\nX: "[..i / 2];
            stream.write_all(begun.as_bytes()).unwrap();
            stream
        })
        .collect();
    let (folder, address) = (
        server.folder.path().display().to_string(),
        server.address.to_string(),
    );
    for request in &requests {
        let filled = match std::str::from_utf8(request) {
            Ok(text) => text
                .replace("HOST", &address)
                .replace("COOKIE", &server.cookie())
                .replacen("HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: close\r\n", 1)
                .into_bytes(),
            Err(_) => request.clone(),
        };
        let shown = String::from_utf8_lossy(&filled[..filled.len().min(200)]).into_owned();
        let answer = server.raw(&filled);
        for secret in [
            "KEEP-THIS",
            "root:",
            TOKEN,
            &*folder,
            "panicked",
            "<script>alert",
        ] {
            assert!(!answer.contains(secret), "{shown} leaks {secret}: {answer}");
        }
        let code = status(&answer);
        assert!(code < 500, "{shown}: {answer}");
        if !answer.is_empty() && answer.contains("\r\nset-cookie") {
            panic!("{shown} was let in: {answer}");
        }
    }
    assert!(server.asked.try_recv().is_err(), "nothing was asked for");
    assert_eq!(server.get("/").0, 200, "the server is up");
    // Whoever says nothing is hung up on.
    for mut stream in idle {
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut rest = vec![];
        let ended = stream.read_to_end(&mut rest);
        assert!(
            !matches!(&ended, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock),
            "{ended:?}"
        );
    }
}

#[test]
fn too_many_connections_are_closed_and_the_first_stay_served() {
    let server = Server::on(sample(8, false));
    let mut kept: Vec<TcpStream> = (0..300)
        .filter_map(|_| TcpStream::connect(server.address).ok())
        .collect();
    let last = kept.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let ended = last.read(&mut [0]);
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let first = &mut kept[0];
    let ask = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        server.address
    );
    first.write_all(ask.as_bytes()).unwrap();
    first
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut answer = String::new();
    first.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200);
}
