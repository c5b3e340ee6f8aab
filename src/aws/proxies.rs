//! The proxies of the environment, as the AWS CLI takes them: botocore asks Python's `getproxies_environment`.
//!
//! The name in small letters goes first, and switches the proxy off where it is empty. `ALL_PROXY` counts for nothing.

use aws_smithy_http_client::proxy::ProxyConfig;

/// Through what requests go.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Proxies {
    pub http: Option<String>,
    pub https: Option<String>,
    /// Hosts that are asked without a proxy, separated by commas.
    no: Option<String>,
}

impl Proxies {
    /// Of variables that `get` gives the values of.
    pub fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| {
            let of_small = get(name);
            let value = of_small.or_else(|| get(&name.to_uppercase()));
            value.filter(|value| !value.is_empty())
        };
        Self {
            http: value("http_proxy").map(with_scheme),
            https: value("https_proxy").map(with_scheme),
            no: value("no_proxy"),
        }
    }

    /// For what is asked by `http://`, and what is asked by `https://`. What is no URL is no proxy, and its error tells
    /// that the host can't be reached.
    pub fn configs(&self) -> [ProxyConfig; 2] {
        let http = self.http.as_deref().map(ProxyConfig::http);
        let https = self.https.as_deref().map(ProxyConfig::https);
        [http, https].map(|config| {
            let Some(Ok(config)) = config else {
                return ProxyConfig::disabled();
            };
            match &self.no {
                Some(no) => config.no_proxy(no),
                None => config,
            }
        })
    }
}

/// As botocore's `_fix_proxy_url` has it.
fn with_scheme(url: String) -> String {
    if url.starts_with("http:") || url.starts_with("https:") {
        url
    } else if url.starts_with("//") {
        format!("http:{url}")
    } else {
        format!("http://{url}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> [Option<String>; 3] {
        let proxies = Proxies::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        [proxies.http, proxies.https, proxies.no]
    }

    #[test]
    fn small_letters_go_first_and_switch_off() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(&[]), [None, None, None]);
        assert_eq!(
            of(&[("HTTPS_PROXY", "http://a:1"), ("NO_PROXY", "b,c")]),
            [None, some("http://a:1"), some("b,c")]
        );
        assert_eq!(
            of(&[
                ("HTTPS_PROXY", "http://a:1"),
                ("https_proxy", "d:2"),
                ("HTTP_PROXY", "//e:3")
            ]),
            [some("http://e:3"), some("http://d:2"), None]
        );
        assert_eq!(
            of(&[
                ("HTTPS_PROXY", "http://a:1"),
                ("https_proxy", ""),
                ("ALL_PROXY", "socks5://f:4")
            ]),
            [None, None, None]
        );
        assert_eq!(
            of(&[("HTTPS_PROXY", ""), ("https_proxy", "http://a:1")]),
            [None, some("http://a:1"), None]
        );
    }
}
