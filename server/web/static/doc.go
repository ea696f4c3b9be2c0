// Package static serves a folder of files, public_html: from memory where they are small, compressed
// once, revalidated by content, re-read when they change on disk.
//
// Way in: New, then Match to ask whether a request is for a file and Serve to send it. Start makes the
// compressed variants in the background. Nothing outside the folder and no dotfile is ever served,
// except below .well-known.
//
// Beside the folder stand mounts, which functions declare, below /static/<prefix>/, and for a while the
// folders of earlier versions, for files that carry a hash in their names. The folder's own files come first.
package static
