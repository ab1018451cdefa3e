//! Against a server on loopback that says whatever a test wants, byte by byte.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers each connection with the next of these and closes it; what was asked comes back.
async fn answering(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = Vec::new();
            while !question.ends_with(b"\r\n\r\n") {
                question.push(stream.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(question).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (url, asked)
}

fn client() -> Client {
    let own = rcgen::generate_simple_self_signed(["provider.example".to_owned()]).unwrap();
    Client {
        tls: trust::connector(&own.cert.pem()).unwrap(),
        proxy: None,
        open: None,
    }
}

fn ask(url: String) -> Ask {
    Ask {
        url,
        headers: vec![("authorization", "SSWS 00token".into())],
        form: None,
    }
}

#[tokio::test]
async fn an_answer_is_whole_with_its_headers() {
    let answer = "HTTP/1.1 429 Too Many\r\nLink: <a>\r\nLink: <b>\r\nX-Rate-Limit-Reset: 7\r\nContent-Length: 2\r\n\r\n[]";
    let (url, asked) = answering(vec![answer.into()]).await;
    let reply = client().send(&ask(format!("{url}/api?x=1"))).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (429, &b"[]"[..]));
    assert_eq!(reply.all("link").collect::<Vec<_>>(), ["<a>", "<b>"]);
    assert_eq!(reply.number("x-rate-limit-reset"), Some(7));
    let asked = asked.await.unwrap().remove(0);
    assert!(asked.starts_with("GET /api?x=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: SSWS 00token\r\n"), "{asked}");
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_opened_anew() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
    let (url, asked) = answering(vec![answer.into(); 3]).await;
    let mut client = client();
    for _ in 0..3 {
        assert_eq!(client.send(&ask(url.clone())).await.unwrap().status, 200);
    }
    assert_eq!(asked.await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_body_that_ends_too_early_is_no_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n[{\"a\":1},",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n",
        "HTTP/1.1 200 OK\r\nContent-",
        "",
    ] {
        let (url, _asked) = answering(vec![answer.into()]).await;
        let error = client().send(&ask(url)).await.unwrap_err();
        assert!(
            matches!(error, HttpError::Broken { .. }),
            "{answer}: {error}"
        );
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (url, _asked) = answering(vec![answer.into()]).await;
    assert_eq!(client().send(&ask(url)).await.unwrap().status, 302);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _head = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let block = vec![b' '; 1 << 20];
        while stream.write_all(&block).await.is_ok() {}
    });
    let error = client().send(&ask(url)).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge), "{error}");
}
