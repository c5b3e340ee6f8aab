//! An instance's metadata, IMDSv2.

use http::Response;

use super::{
    REGION, Request, World, container,
    server::{Body, full, refused},
};

pub fn answer(world: &World, request: &Request) -> Response<Body> {
    let text = match request.path.as_str() {
        "/latest/api/token" => {
            return Response::builder()
                .header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
                .body(full("imds-token"))
                .unwrap();
        }
        _ if !request.headers.contains_key("x-aws-ec2-metadata-token") => return refused(401),
        "/latest/meta-data/iam/security-credentials/" => "harness-role".to_owned(),
        "/latest/meta-data/iam/security-credentials/harness-role" => {
            let mut credentials = container::credentials(world, "the instance".to_owned());
            credentials["Code"] = "Success".into();
            credentials["Type"] = "AWS-HMAC".into();
            credentials["LastUpdated"] = "2024-03-05T00:00:00Z".into();
            credentials.to_string()
        }
        "/latest/meta-data/placement/region" => REGION.to_owned(),
        _ => return refused(404),
    };
    Response::new(full(text))
}
