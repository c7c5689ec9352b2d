#!/bin/sh
# Checks what procmond sees of files on the running kernel: the watch and credential lists for every
# process, everything for traced lineages, and when a path is called uncertain. Acts in a cgroup and
# a directory of its own. Needs root. Prints PASS or FAIL per check; exits 1 when one failed.
set -u
. "$(dirname "$0")/live_lib.sh"

act() { within "$build/file_actor" "$@" 2> /dev/null; }
quiet() { within "$@" > /dev/null 2>&1; }
# Of a flags word: bit 2 uncertain, bit 6 watched, bit 7 credential.
has_flag() { # kind, bit, pattern
	grep "\"kind\":\"$1\"" "$out" | grep -- "$3" | awk -v bit="$2" '
	match($0, /"flags":[0-9]+/) { if (int(substr($0, RSTART + 8, RLENGTH - 8) / 2 ^ bit) % 2) found = 1 }
	END { exit !found }'
}
lacks_flag() { # kind, bit, pattern: there is one, and none has the bit
	grep "\"kind\":\"$1\"" "$out" | grep -q -- "$3" && not has_flag "$@"
}
said() { grep -q -- "\"PATH[_TO]*\":\"$1\"" "$out"; }
policy() { # waits until it is in force: a file written after it is told of
	mark=$((${mark:-0} + 1))
	mkdir -p "$dir/mark-$mark"
	order "policy watch $dir/mark-$mark/ $*"
	await "the policy is in force" is_watched $mark
}
is_watched() { quiet sh -c ": > $dir/mark-$1/x" && grep -q "$dir/mark-$1/x" "$out"; }

chmod 755 "$dir"
w=$dir/watched
o=$dir/other
mkdir "$w" "${w}x" "$o" "$dir/home" "$dir/home/ann" "$dir/home/ann/.ssh" "$dir/home/ann/.shs" \
	"$dir/home/ann/deep" "$dir/home/ann/deep/.ssh"
echo s > "$dir/home/ann/.shs/id_rsa"
echo s > "$dir/secret"; echo s > "$o/plain"; echo s > "$dir/home/ann/.ssh/id_rsa"
echo s > "$dir/home/ann/deep/.ssh/id_rsa"; echo s > "$o/secret"; echo s > "$o/id_rsa"
echo s > "$w/old"
ln -s "$w" "$o/way"

echo "-- the watch list"
start_dump --scope "$scope"
quiet sh -c ": > $w/before"
settle
check "nothing of files is told while nothing is listed" not grep -q '"kind":"file_' "$out"
policy watch "$w/" credential "$dir/secret" credential "$dir/home/*/.ssh/id_rsa"
quiet sh -c ": > $w/new; : > ${w}x/new; : > $o/new; echo x >> $w/old; cat $w/old; cat $o/plain"
settle
check "a file created under a watched prefix is told" has_flag file_create 6 "\"PATH\":\"$w/new\""
check "opening for writing is told" has_flag file_open 6 "\"PATH\":\"$w/old\".*\"OPEN_FLAGS\":"
check "with what file it is" has file_create "\"PATH\":\"$w/new\".*\"DEV\":[0-9]*,\"INO\":$(stat -c %i "$w/new"),\"SIZE\":0.*\"MODE\":33"
check "a prefix is compared by bytes: a longer name beside it is not watched" not said "${w}x/new"
check "elsewhere is not watched" not said "$o/new"
check "reading a watched file is not told" lines 1 "\"PATH\":\"$w/old\""
check "reading a file that is not listed is silent" not said "$o/plain"
quiet sh -c "mv $o/new $w/in; mv $w/in $o/out; ln $o/out $w/hard; ln -s /nowhere $w/soft; ln -s $w/new $o/soft; \
	mkdir $w/dir; mknod $w/fifo p; chmod 755 $w/new; chmod 644 $w/old; rmdir $w/dir; rm $w/hard; rm $o/out"
settle
check "a rename into a watched directory is told" has_flag file_rename 6 "\"PATH\":\"$o/new\",\"PATH_TO\":\"$w/in\""
check "a rename out of one too" has_flag file_rename 6 "\"PATH\":\"$w/in\",\"PATH_TO\":\"$o/out\""
check "a hard link into one" has_flag file_link 6 "\"PATH\":\"$o/out\",\"PATH_TO\":\"$w/hard\""
check "a symbolic link in one, with its text" has_flag file_symlink 6 "\"PATH\":\"$w/soft\",\"PATH_TO\":\"/nowhere\""
check "the text of a link is not where it lies" not said "$o/soft"
check "a directory made is a file created, by its mode" has_flag file_create 6 "\"PATH\":\"$w/dir\",\"MODE\":16877"
check "and a node made" has_flag file_create 6 "\"PATH\":\"$w/fifo\",\"MODE\":4516"
check "a directory removed is unlinked" has_flag file_unlink 6 "\"PATH\":\"$w/dir\""
check "an unlink is told" has_flag file_unlink 6 "\"PATH\":\"$w/hard\""
check "elsewhere an unlink is not" not has file_unlink "\"PATH\":\"$o/out\""
check "a file made executable is told" has_flag file_chmod 6 "\"PATH\":\"$w/new\",\"MODE\":493"
check "a chmod that makes nothing executable is not" not has file_chmod "\"PATH\":\"$w/old\""
check "paths read alike twice are certain" lacks_flag file_rename 2 "\"PATH\":\"$w/in\""
act creat "$w/by-creat"; act openat2 "$w/by-openat2"; act tmpfile "$w" "$w/by-link"; act fchmod "$w/by-creat"
quiet sh -c "cd $o && : > ../watched/dots && rm ../watched/dots && cd / && rm ${dir#/}/other/../watched/./by-openat2"
quiet sh -c ": > $o/way/through; mv $w $dir/gone; mv $dir/gone $w"
settle
check "creat is seen" has_flag file_create 6 "\"PATH\":\"$w/by-creat\""
check "openat2 is seen" has_flag file_create 6 "\"PATH\":\"$w/by-openat2\",\"OPEN_FLAGS\":66"
check "a file without a name is seen" has_flag file_create 6 "\"PATH\":\"$w/#[0-9]*\""
check "and when it gets one" has_flag file_link 6 "\"PATH\":\"$w/#[0-9]*\",\"PATH_TO\":\"$w/by-link\""
check "fchmod is seen" has_flag file_chmod 6 "\"PATH\":\"$w/by-creat\".*\"MODE\":33261"
check "a way up and down again does not hide a name" has_flag file_unlink 6 "\"PATH\":\"$o/../watched/dots\""
check "nor does one from the root" has_flag file_unlink 6 "other/../watched/./by-openat2\""
check "a file opened through a link is where it lies" has_flag file_create 6 "\"PATH\":\"$w/through\""
check "a watched directory itself may not be moved away unseen" has_flag file_rename 6 "\"PATH\":\"$w\",\"PATH_TO\""

echo "-- the credential list"
quiet sh -c "cat $dir/secret; cat $o/secret; cat $dir/home/ann/.ssh/id_rsa $dir/home/ann/deep/.ssh/id_rsa $dir/home/ann/.shs/id_rsa $o/id_rsa; true"
settle
check "a plain cat of a credential file is told" has_flag file_open 7 "\"PATH\":\"$dir/secret\".*\"OPEN_FLAGS\""
check "\`*\` stands for one component" has_flag file_open 7 "\"PATH\":\"$dir/home/ann/.ssh/id_rsa\""
check "and not for two" not said "$dir/home/ann/deep/.ssh/id_rsa"
check "every component counts" not said "$dir/home/ann/.shs/id_rsa"
check "the same name elsewhere is silent" not said "$o/secret"
check "also where \`*\` stands" not said "$o/id_rsa"
chmod 600 "$dir/secret"
quiet setpriv --reuid 65534 --regid 65534 --clear-groups cat "$dir/secret"
quiet setpriv --reuid 65534 --regid 65534 --clear-groups sh -c "echo x > $w/denied"
quiet cat "$dir/home/bob/.ssh/id_rsa"
secret="\"PATH\":\"$dir/secret\""
settle
before=$(count_of file_open "$secret")
act open-path "$dir/secret"
check "an attempt that is refused is told" has_flag file_open 7 "\"RESULT\":-13,\"PATH\":\"$dir/secret\""
check "its path comes from the caller and is uncertain" has_flag file_open 2 "\"RESULT\":-13,\"PATH\":\"$dir/secret\""
check "so is a refused writing under a prefix" has_flag file_open 6 "\"RESULT\":-13,\"PATH\":\"$w/denied\""
check "a credential file that is not there tells nothing" not said "$dir/home/bob/.ssh/id_rsa"
quiet sh -c "ln $dir/secret $o/copy; ln -s $dir/secret $o/sym; cat $o/sym; cat $o/copy; mv $dir/secret $o/taken; mv $o/taken $dir/secret"
settle
check "a handle without content (O_PATH) is no reading" counts $((before + 1)) file_open "$secret"
check "a hard link to a credential file is told" has_flag file_link 7 "\"PATH\":\"$dir/secret\",\"PATH_TO\":\"$o/copy\""
check "moving one away is told" has_flag file_rename 7 "\"PATH\":\"$dir/secret\",\"PATH_TO\":\"$o/taken\""
check "and moving one into place" has_flag file_rename 7 "\"PATH\":\"$o/taken\",\"PATH_TO\":\"$dir/secret\""

echo "-- flags that are rewritten during the call"
# Of OPEN_FLAGS here: 1 O_WRONLY, 512 O_TRUNC, 2048 O_NONBLOCK, 4096 O_DSYNC, 2097152 O_PATH (x86_64 and arm64).
mkfifo "$w/fifo-w" "$dir/home/fifo-r"
cp "$build/file_actor" "$dir/actor"; chmod 755 "$dir/actor" "$w"
echo s > "$dir/home/held"; echo s > "$w/mine"; echo s > "$w/cut"; : > "$w/empty"; chmod 600 "$w/mine"; chmod 644 "$w/empty"
policy watch "$w/" credential "$dir/home/held" credential "$dir/home/fifo-r"
act rewrite "$w/fifo-w" 4097 0
act rewrite "$dir/home/fifo-r" 4096 2097152
act openat2-as "$w/cut" 512; act openat2-as "$w/empty" 0
within setpriv --reuid 65534 --regid 65534 --clear-groups "$dir/actor" openat2-as "$w/mine" 0 2> /dev/null
settle
check "a writing that says afterwards it was a reading is told, with the file's own flags" \
	has_flag file_open 6 "\"PATH\":\"$w/fifo-w\",\"OPEN_FLAGS\":4097,"
check "a reading of a credential file that says it was none is told" \
	has_flag file_open 7 "\"PATH\":\"$dir/home/fifo-r\",\"OPEN_FLAGS\":4096,"
check "openat2 that empties a file is told" has_flag file_open 6 "\"PATH\":\"$w/cut\",\"OPEN_FLAGS\":512,"
check "and one that may have, because the file is empty" has_flag file_open 6 "\"PATH\":\"$w/empty\""
check "a refused openat2 is told whatever its flags say" has_flag file_open 6 "\"RESULT\":-13,\"PATH\":\"$w/mine\""

echo "-- files opened by a handle"
within "$build/file_actor" handle-of "$dir/home/held" > "$dir/handle"
act by-handle "$dir" 2048 < "$dir/handle"
within "$build/file_actor" handle-of "$w/old" > "$dir/handle"
act by-handle "$dir" 2049 < "$dir/handle"
settle
check "a credential file opened by a handle is told, with its path" \
	has_flag file_open 7 "\"PATH\":\"$dir/home/held\",\"OPEN_FLAGS\":2048,"
check "so is one under a watched prefix" has_flag file_open 6 "\"PATH\":\"$w/old\",\"OPEN_FLAGS\":2049,"
mkdir "$dir/disk"
truncate -s 4M "$dir/image"
if mkfs.ext4 -qF "$dir/image" 2> /dev/null && mount -o loop "$dir/image" "$dir/disk" 2> /dev/null; then
	mkdir "$dir/disk/below"; echo s > "$dir/disk/below/file"
	"$build/file_actor" handle-of "$dir/disk/below/file" > "$dir/handle"
	umount "$dir/disk"; mount -o loop "$dir/image" "$dir/disk"
	act by-handle "$dir/disk" 2049 < "$dir/handle"
	settle
	check "one whose name the kernel never looked up is on every list" \
		has_flag file_open 6 "\"PATH\":\"/\",\"OPEN_FLAGS\":2049,"
	check "also on that of credentials" has_flag file_open 7 "\"PATH\":\"/\",\"OPEN_FLAGS\":2049,"
	check "and uncertain" has_flag file_open 2 "\"PATH\":\"/\",\"OPEN_FLAGS\":2049,"
	umount "$dir/disk"
else
	echo "SKIP a handle without a name: no loop device, or no mkfs.ext4"
fi

echo "-- paths longer than a walk"
mkdir "$w/long" "$o/long"
act deep "$w/long"
settle
check "a file made below them counts as watched, its path as cut" has_flag file_create 6 '/deep"'
check "so the flag says" has_flag file_create 3 '/deep"'
check "a rename there too" has_flag file_rename 6 '/deep","PATH_TO":"[^"]*/deeper"'

echo "-- the view of the process"
mkdir -p "$dir/root/etc" "$dir/root/lib" && cp "$build/file_actor" "$dir/root/actor"
for library in $(ldd "$build/file_actor" | grep -o '/[^ ]*'); do
	mkdir -p "$dir/root$(dirname "$library")" && cp "$library" "$dir/root$library"
done
policy watch /only/inside/ watch /etc/inside- credential /etc/inner
echo s > "$dir/root/etc/inner"
quiet chroot "$dir/root" /actor creat /etc/inside-chroot
echo s > "$dir/root/inner"
quiet chroot "$dir/root" /actor read /etc/inner
quiet chroot "$dir/root" /actor read /inner
mkdir -p "$dir/bound"
quiet unshare -m sh -c "mount --bind $dir/bound /srv && mkdir -p $dir/bound/d && mount -t tmpfs none /srv/d && : > /srv/d/inside"
settle
check "a chroot sees its own paths" has_flag file_create 6 '"PATH":"/etc/inside-chroot"'
check "also of credential files" has_flag file_open 7 '"PATH":"/etc/inner"'
check "a shorter path with the same end is not one" not said "/inner"
policy watch /srv/d/
quiet unshare -m sh -c "mount --bind $dir/bound /srv && mount -t tmpfs none /srv/d && : > /srv/d/inside && mv /srv/d/inside /srv/d/moved"
settle
check "a mount namespace has its own paths" has_flag file_create 6 '"PATH":"/srv/d/inside"'
check "of names too" has_flag file_rename 6 '"PATH":"/srv/d/inside","PATH_TO":"/srv/d/moved"'

echo "-- replacing a policy"
many=
i=1
while [ $i -lt 256 ]; do many="$many watch $dir/many/$i-"; i=$((i + 1)); done
mkdir "$dir/many"
policy $many
quiet sh -c ": > $dir/many/1-a; : > $dir/many/255-a; : > $dir/many/256-a; : > $w/after"
settle
check "256 prefixes are compared, the first" said "$dir/many/1-a"
check "and the last" said "$dir/many/255-a"
check "what is beside them is not" not said "$dir/many/256-a"
check "a list that was replaced is not in force" not said "$w/after"
longest=$w/$(printf '%*s' $((127 - ${#w})) '' | tr ' ' x)
policy watch "$longest"
quiet sh -c ": > ${longest}yz; : > ${longest%x}z"
settle
check "a prefix of 128 bytes is compared whole" said "${longest}yz"
check "to its last byte" not said "${longest%x}z"
quiet sh -c "i=0; while [ \$i -lt 3000 ]; do : > ${longest}; i=\$((i + 1)); done" & storm=$!
i=0
while kill -0 $storm 2>/dev/null; do
	i=$((i + 1))
	echo "policy watch $longest watch /turn/$i/" >&9
	sleep 0.02
done
wait $storm
order "policy watch $longest"
settle
check "while lists are replaced nothing of both is lost" \
	told_or_shed 3000 2 'file_[a-z]*' "\"PATH\":\"${longest}\""
told=$(count_of 'file_[a-z]*' "\"PATH\":\"${longest}\"")
settle_stats
check "and no number is missing" holes_equal_drops 0 0
order "policy"
quiet sh -c ": > ${longest}"; settle
check "an empty policy ends it" lines "$told" "\"PATH\":\"${longest}\""
echo "policy $many watch /one watch /too-many" >&9
await "procmond has ended the link" gone "$dump_pid"
stop_dump
check "257 prefixes are refused" test "$dump_code" = 4

entry_events() { # how many tracepoints of calls hold a program
	readlink "/proc/$(pgrep -P "$dump_pid" procmond)/fd/"* | grep -c perf_event
}
# The second way is for machines that have no tracefs to give.
for round in 1 2; do
	case $round in
	1) unset PROCMOND_TEST_NO_TRACEFS; entry="the calls that have some"; events="-ge 14" ;;
	2) export PROCMOND_TEST_NO_TRACEFS=1; entry="every call"; events="= 0" ;;
	esac
	echo "-- a traced lineage, names read at the entry of $entry"
	start_dump --scope "$scope"
	check "that is where they are read" test "$(entry_events)" $events
	start_shell
	order "add 7 $shell $(ticks_of "$shell") 300 1"
	t=$dir/traced-$round
	mkdir "$t"
	tell "cd $t; echo 12345 > a; cat a; cat missing; mv a b; ln b c; ln -s b d; chmod 4755 b; chmod 644 b; mkdir e; rmdir e; rm c d"
	tell "$build/file_actor fchmod b; $build/file_actor absent b"
	# Two threads race: on a busy machine one of them may sleep through it.
	for attempt in 1 2 3 4 5 6 7 8 9 10; do
		tell "$build/file_actor swap $t/x $t/y 3000"
		settle
		! has_flag file_create 2 "\"PATH\":\"$t/[xy]\",\"MODE\":16832" || break
done
check "an open says what was opened, and how large it is" has file_open "\"PATH\":\"$t/a\",\"OPEN_FLAGS\":0,.*\"SIZE\":6,"
check "an open that failed says so" has file_open "\"RESULT\":-2,\"PATH\":\"$t/missing\""
check "and its path is uncertain" has_flag file_open 2 "\"PATH\":\"$t/missing\""
check "what an fd says is certain" lacks_flag file_open 2 "\"PATH\":\"$t/a\",\"OPEN_FLAGS\":0"
check "a rename relative to the directory has both paths" has file_rename "\"PATH\":\"$t/a\",\"PATH_TO\":\"$t/b\""
check "and is certain when both readings agree" lacks_flag file_rename 2 "\"PATH\":\"$t/a\""
check "link" has file_link "\"PATH\":\"$t/b\",\"PATH_TO\":\"$t/c\""
check "symlink, with the text as it is" has file_symlink "\"PATH\":\"$t/d\",\"PATH_TO\":\"b\""
check "chmod to executable, with the bits" has file_chmod "\"PATH\":\"$t/b\",\"MODE\":2541"
check "chmod to plain is not told" not has file_chmod "\"MODE\":420"
check "fchmod, with the file's mode" has file_chmod "\"PATH\":\"$t/b\".*\"MODE\":33261"
check "mkdir" has file_create "\"PATH\":\"$t/e\",\"MODE\":16877"
check "unlink and rmdir" has file_unlink "\"PATH\":\"$t/[cde]\""
check "a name nobody could read at entry is uncertain" has_flag file_unlink 2 "\"PATH\":\"$t/b\""
check "a name that another thread swaps is uncertain" has_flag file_create 2 "\"PATH\":\"$t/[xy]\",\"MODE\":16832"
check "these are traced, not watched" not has_flag file_rename 6 "\"PATH\":\"$t/a\""
settle_stats
check "and no number is missing" holes_equal_drops 0 0
end_shell
stop_dump
done

finish_test
