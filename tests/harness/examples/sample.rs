//! Serves a sample trail as S3 on 127.0.0.1, for `scripts/run`. Prints what a reader's environment needs, and ends with
//! its standard input.

use std::io;

use harness::aws::{ACCESS_KEY, Aws, REGION, SECRET_KEY};
use harness::sample;

fn main() -> io::Result<()> {
    let aws = Aws::start();
    for file in sample::files() {
        file.put(&aws, "sample-trail");
    }
    println!("AWS_ACCESS_KEY_ID={ACCESS_KEY}");
    println!("AWS_SECRET_ACCESS_KEY={SECRET_KEY}");
    println!("AWS_REGION={REGION}");
    println!("AWS_ENDPOINT_URL={}", aws.endpoint());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
