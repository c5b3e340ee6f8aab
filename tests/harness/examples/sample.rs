//! Serves a sample trail as S3 on 127.0.0.1, for `scripts/run`. Prints what a reader's environment needs, and ends with
//! its standard input.

use std::io;

use harness::aws::{ACCESS_KEY, Aws, REGION, SECRET_KEY};
use harness::trail::Maker;

fn main() -> io::Result<()> {
    let aws = Aws::start();
    let mut maker = Maker::new(2024);
    for file in maker.trail(
        &["111122223333", "444455556666"],
        &["eu-west-1", "us-east-1"],
        "20240305T1200Z",
        6,
        25,
    ) {
        file.put(&aws, "sample-trail");
    }
    println!("AWS_ACCESS_KEY_ID={ACCESS_KEY}");
    println!("AWS_SECRET_ACCESS_KEY={SECRET_KEY}");
    println!("AWS_REGION={REGION}");
    println!("AWS_ENDPOINT_URL={}", aws.endpoint());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
