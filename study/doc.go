// Package study holds the human evaluation of SR3 on disk and on the web: package
// foolrate decides who sees what and computes the rates; this package keeps the
// images, asks the questions and stores the answers.
//
// A study is one folder:
//
//	study.toml    the manifest: task, times, texts, methods, images (see [Manifest])
//	images/       the images as they are shown, made by [Builder]
//	answers.db    subjects and answers (SQLite; see [Store])
//
// [Server] shows it to people, [Folder.Report] says what they answered. No image URL,
// file size or order tells a subject which image is the original. Of a subject
// nothing is stored but a random name, the answers with their times, and the day.
package study
