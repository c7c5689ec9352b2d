/**
 * What is private to each demo host: the configuration, content and keys that its init puts over the machine's own
 * directories. Everything is written below a staging directory that is removed as soon as the host has copied it. The
 * keys are made for one run and open nothing but the demo's own sshd, which listens inside the demo's network only.
 */

import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Result } from "#core/result.ts";
import type { DemoAddresses } from "./network.ts";
import { runTool, type Tools } from "./spawning.ts";

/** The places both hosts cover with private content, without the leading slash. */
export const privatePlaces = [
	"etc/group",
	"etc/hosts",
	"etc/passwd",
	"etc/shadow",
	"etc/ssh",
	"root",
	"run",
	"srv",
	"tmp",
	"var/backups",
	"var/log",
] as const;

/** What web-01 covers besides: Apache is on no other host. */
export const webPlaces = ["etc/apache2", "var/www"] as const;

/** Where the backup script of web-01 left the key that opens db-01. */
export const deployKeyPath = "/var/backups/deploy/id_ed25519";
export const lookupPath = "/cgi-bin/lookup.cgi";

const account = { root: 0, wwwData: 33 } as const;
const passwd = `root:x:${account.root}:0:root:/root:/bin/bash
www-data:x:${account.wwwData}:33:www-data:/var/www:/usr/sbin/nologin
sshd:x:103:65534:sshd:/run/sshd:/usr/sbin/nologin
`;
const modules = "/usr/lib/apache2/modules";

/** Writes both hosts' content below `webDirectory` and `dbDirectory` and makes the run's keys. */
export async function stageHostFiles(
	tools: Tools,
	directories: { readonly web: string; readonly db: string },
	addresses: DemoAddresses,
): Promise<Result<unknown, "namespace_refused">> {
	for (const directory of [directories.web, directories.db]) stageCommon(directory, addresses);
	stageWeb(directories.web, addresses);
	stageDb(directories.db, addresses);
	const deployKey = join(directories.web, deployKeyPath);
	const made = await runTool(keygen(tools, deployKey, "deploy@web-01"));
	if (!made.ok) return made;
	writeStaged(directories.db, "etc/ssh/authorized_keys", readFileSync(`${deployKey}.pub`, "utf8"), 0o600);
	// The mistake that lets the intruder on: the key is readable by the web server's group.
	chownSync(deployKey, account.root, account.wwwData);
	chmodSync(deployKey, 0o640);
	return runTool(keygen(tools, join(directories.db, "etc/ssh/ssh_host_ed25519_key"), "db-01"));
}

function keygen(tools: Tools, file: string, comment: string): readonly string[] {
	return [tools["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", file];
}

function stageCommon(directory: string, addresses: DemoAddresses): void {
	writeStaged(directory, "etc/passwd", passwd);
	writeStaged(directory, "etc/group", "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n");
	// No account has a password; `*` (unlike `!`) leaves login by key open (sshd treats `!` as a locked account).
	writeStaged(directory, "etc/shadow", "root:*:20000::::::\nwww-data:*:20000::::::\nsshd:*:20000::::::\n", 0o640);
	writeStaged(directory, "etc/hosts", `127.0.0.1 localhost\n${addresses.webBack} web-01\n${addresses.db} db-01\n`);
	makeStaged(directory, "etc/ssh");
	makeStaged(directory, "root", 0o700);
	makeStaged(directory, "srv");
	makeStaged(directory, "tmp", 0o1777);
	makeStaged(directory, "run/sshd");
	makeStaged(directory, "var/backups");
	makeStaged(directory, "var/log");
}

function stageWeb(directory: string, addresses: DemoAddresses): void {
	makeStaged(directory, "run/apache2");
	makeStaged(directory, "var/log/apache2");
	makeStaged(directory, dirname(deployKeyPath));
	writeStaged(
		directory,
		"var/backups/deploy/README",
		"nightly copy of /srv/app: rsync as root@db-01 with id_ed25519\n",
	);
	writeStaged(directory, "var/www/html/index.html", "<!doctype html><title>web-01</title><p>Status page.\n");
	writeStaged(directory, `var/www${lookupPath}`, lookupScript, 0o755);
	writeStaged(directory, "etc/apache2/apache2.conf", apacheConfig(addresses));
}

function stageDb(directory: string, addresses: DemoAddresses): void {
	const customers = Array.from(
		{ length: 200 },
		(_, id) => `${id},customer-${id},DE${String(id * 7919).padStart(20, "0")}\n`,
	);
	const orders = Array.from({ length: 400 }, (_, id) => `${id},${id % 200},${(id * 137) % 10_000}\n`);
	writeStaged(directory, "srv/app/customers.csv", customers.join(""), 0o640);
	writeStaged(directory, "srv/app/orders.csv", orders.join(""), 0o640);
	writeStaged(directory, "etc/ssh/sshd_config", sshdConfig(addresses));
}

/**
 * The web page with the hole: what follows `host=` reaches bash unchecked. The script becomes that bash by `exec`, so
 * Apache is the direct parent of the shell that runs the intruder's text.
 */
const lookupScript = `#!/bin/bash
printf 'Content-Type: text/plain\\r\\n\\r\\n'
host=\${QUERY_STRING#host=}
printf -v host '%b' "\${host//%/\\\\x}"
exec /bin/bash -c "getent hosts $host"
`;

function apacheConfig(addresses: DemoAddresses): string {
	return `ServerRoot /etc/apache2
ServerName web-01
PidFile /run/apache2/apache2.pid
DefaultRuntimeDir /run/apache2
ErrorLog /var/log/apache2/error.log
LoadModule mpm_prefork_module ${modules}/mod_mpm_prefork.so
LoadModule authz_core_module ${modules}/mod_authz_core.so
LoadModule alias_module ${modules}/mod_alias.so
LoadModule cgi_module ${modules}/mod_cgi.so
Listen ${addresses.webFront}:80
Listen ${addresses.webBack}:80
User www-data
Group www-data
StartServers 2
MinSpareServers 1
MaxSpareServers 4
# Apache ends a CGI that is silent for this long; the intruder's shell is one, and a person may watch it for hours.
Timeout 86400
CustomLog /var/log/apache2/access.log "%h %t \\"%r\\" %>s"
DocumentRoot /var/www/html
<Directory />
	Require all denied
</Directory>
<Directory /var/www/html>
	Require all granted
</Directory>
ScriptAlias /cgi-bin/ /var/www/cgi-bin/
<Directory /var/www/cgi-bin>
	Options +ExecCGI
	Require all granted
</Directory>
`;
}

function sshdConfig(addresses: DemoAddresses): string {
	return `ListenAddress ${addresses.db}
Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
`;
}

function makeStaged(directory: string, path: string, mode = 0o755): void {
	let target = directory;
	for (const name of path.split("/").filter((part) => part !== "")) {
		target = join(target, name);
		if (existsSync(target)) continue;
		mkdirSync(target);
		// The caller's umask must not decide what the services can read.
		chmodSync(target, mode);
	}
}

function writeStaged(directory: string, path: string, content: string, mode = 0o644): void {
	makeStaged(directory, dirname(path));
	const target = join(directory, path);
	writeFileSync(target, content);
	chmodSync(target, mode);
}
