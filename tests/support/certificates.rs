//! Certificates made with the distribution's openssl.

use std::path::Path;
use std::process::Stdio;

use crate::broker::command;

fn openssl(dir: &Path, args: &str) {
    let mut command = command("openssl");
    command.current_dir(dir).args(args.split_whitespace()).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "openssl {args}: {output:?}");
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// An authority: `NAME.pem` and `NAME.key` in the folder.
pub fn authority(dir: &Path, name: &str) {
    openssl(
        dir,
        &format!("req -x509 {NEW_KEY} -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2"),
    );
}

/// A server's certificate from an authority: `NAME.pem` and `NAME.key`. `names` are its subjectAltName; without them it
/// is of version 1, as old instructions make it.
pub fn server(dir: &Path, name: &str, authority: &str, names: Option<&str>) {
    openssl(dir, &format!("req {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN=localhost"));
    let extension = match names {
        Some(names) => {
            let text = format!("subjectAltName={names}\n");
            std::fs::write(dir.join(format!("{name}.ext")), text).unwrap();
            format!("-extfile {name}.ext")
        }
        None => String::new(),
    };
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 2 \
             -out {name}.pem {extension}"
        ),
    );
}
