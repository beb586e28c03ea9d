package study

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sr3-go/sr3/foolrate"
)

// schema of answers.db. An answer names image and method, so that the table can be
// read without the manifest. There is one for each trial of a subject, whatever
// browsers send twice.
const schema = `
CREATE TABLE IF NOT EXISTS meta (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS subjects (
	id     INTEGER PRIMARY KEY,
	token  TEXT NOT NULL UNIQUE,
	number INTEGER UNIQUE, -- counts those who agreed to take part, from 0; decides their trials
	day    TEXT            -- on which they agreed, UTC
) STRICT;
CREATE TABLE IF NOT EXISTS answers (
	subject       INTEGER NOT NULL REFERENCES subjects (id),
	trial         INTEGER NOT NULL CHECK (trial >= 0),
	image         TEXT    NOT NULL,
	method        TEXT    NOT NULL, -- empty: a catch trial
	original_left INTEGER NOT NULL CHECK (original_left IN (0, 1)),
	choice        TEXT    NOT NULL CHECK (choice IN ('left', 'right', 'none')),
	response_ms   REAL    NOT NULL,
	shown_ms      REAL    NOT NULL,
	views         INTEGER NOT NULL,
	PRIMARY KEY (subject, trial)
) WITHOUT ROWID, STRICT;
`

// maxSubjects bounds a study that anybody can join.
const maxSubjects = 100_000

// Errors of a store.
var (
	// ErrNoSubject means that no link with this token was given out.
	ErrNoSubject = errors.New("no such subject")
	// ErrNoConsent means that the subject has not agreed to take part yet.
	ErrNoConsent = errors.New("the subject has not agreed to take part yet")
	// ErrNotNext means that the answer is for a trial that is not the subject's next.
	ErrNotNext = errors.New("not the next trial")
	// ErrFull means that no more subjects can join.
	ErrFull = errors.New("the study is full")
)

// Store keeps subjects and answers in SQLite. An answer is on the disk when [Store.Answer]
// returns: the journal is write-ahead and synced at every commit (WAL,
// synchronous=FULL). Several processes may open one store: links can be made and
// reports written while a server runs.
type Store struct {
	db     *sql.DB
	design foolrate.Design
	names  []string // of images
	method []string
}

// Subject is one who was given a link.
type Subject struct {
	ID     int64
	Token  string
	Number int // -1 before they agreed to take part
	Next   int // trials answered so far: the number of the next one
}

// OpenStore opens the answers of a study and makes the file if there is none. It
// refuses a file that belongs to a study with other trials.
func (f *Folder) OpenStore(ctx context.Context) (*Store, error) {
	path := filepath.Join(f.Dir, answersFile)
	if err := privateFile(path); err != nil {
		return nil, fmt.Errorf("open answers: %w", err)
	}
	pragmas := "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_txlock=immediate"
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(filepath.ToSlash(path))}).String()+pragmas)
	if err != nil {
		return nil, fmt.Errorf("open answers: %w", err)
	}
	db.SetMaxOpenConns(4)
	s := &Store{db: db, design: f.Manifest.Design(), method: f.Manifest.MethodNames()}
	for _, e := range f.Manifest.Images {
		s.names = append(s.names, e.Name)
	}
	if err := s.prepare(ctx, &f.Manifest); err != nil {
		return nil, errors.Join(fmt.Errorf("open answers: %s: %w", path, err), db.Close())
	}
	return s, nil
}

// privateFile makes the file for its owner alone.
func privateFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// prepare makes the tables and compares the study with the one the answers are of.
func (s *Store) prepare(ctx context.Context, m *Manifest) error {
	if _, err := s.db.ExecContext(ctx, schema); err != nil {
		return err
	}
	return s.change(ctx, func(tx *sql.Tx) error {
		var began bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM subjects WHERE number IS NOT NULL)").Scan(&began); err != nil {
			return err
		}
		if !began { // the manifest may still be changed
			_, err := tx.ExecContext(ctx, "INSERT INTO meta VALUES ('fingerprint', ?) ON CONFLICT DO UPDATE SET value = excluded.value", m.fingerprint())
			return err
		}
		var was string
		if err := tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'fingerprint'").Scan(&was); err != nil {
			return err
		}
		if was != m.fingerprint() {
			return fmt.Errorf("%s was changed after somebody took part, so the answers do not belong to it; undo the change, or copy the folder without %s and start anew", ManifestFile, answersFile)
		}
		return nil
	})
}

// Close waits for what is being written.
func (s *Store) Close() error { return s.db.Close() }

// change runs a transaction that writes.
func (s *Store) change(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// tokenLength is that of crypto/rand.Text: 26 letters and digits, 130 random bits.
const tokenLength = 26

// AddSubjects makes n subjects and returns their tokens.
func (s *Store) AddSubjects(ctx context.Context, n int) ([]string, error) {
	var tokens []string
	err := s.change(ctx, func(tx *sql.Tx) error {
		var have int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM subjects").Scan(&have); err != nil {
			return err
		}
		if n > maxSubjects-have {
			return fmt.Errorf("%d subjects, at most %d: %w", have+n, maxSubjects, ErrFull)
		}
		for range n {
			token := strings.ToLower(rand.Text())
			if _, err := tx.ExecContext(ctx, "INSERT INTO subjects (token) VALUES (?)", token); err != nil {
				return err
			}
			tokens = append(tokens, token)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("add subjects: %w", err)
	}
	return tokens, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func findSubject(ctx context.Context, q querier, token string) (Subject, error) {
	s := Subject{Token: token}
	var number sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT id, number, (SELECT count(*) FROM answers WHERE subject = subjects.id) FROM subjects WHERE token = ?", token).
		Scan(&s.ID, &number, &s.Next)
	if errors.Is(err, sql.ErrNoRows) {
		return s, ErrNoSubject
	}
	s.Number = -1
	if number.Valid {
		s.Number = int(number.Int64)
	}
	return s, err
}

// Find returns the subject of a token, or [ErrNoSubject].
func (s *Store) Find(ctx context.Context, token string) (Subject, error) {
	subject, err := findSubject(ctx, s.db, token)
	if err != nil {
		return subject, fmt.Errorf("find subject: %w", err)
	}
	return subject, nil
}

// Agree records that a subject agreed to take part and gives the number that decides
// the trials. Agreeing again changes nothing.
func (s *Store) Agree(ctx context.Context, token string) (Subject, error) {
	var subject Subject
	err := s.change(ctx, func(tx *sql.Tx) (err error) {
		if subject, err = findSubject(ctx, tx, token); err != nil || subject.Number >= 0 {
			return err
		}
		day := time.Now().UTC().Format(time.DateOnly)
		return tx.QueryRowContext(ctx, `UPDATE subjects SET number = (SELECT coalesce(max(number) + 1, 0) FROM subjects), day = ?
			WHERE id = ? RETURNING number`, day, subject.ID).Scan(&subject.Number)
	})
	if err != nil {
		return subject, fmt.Errorf("agree: %w", err)
	}
	return subject, nil
}

// Response is what a subject's browser sends.
type Response struct {
	Trial    int
	Choice   foolrate.Choice
	Response float64 // from the appearance of the images to the answer, milliseconds
	Shown    float64 // how long the images were seen, milliseconds
	Views    int
}

// Answer stores the answer to the subject's next trial, durably. An answer to a
// trial that has one already changes nothing and is no error. It fails with
// [ErrNotNext] for a later trial and returns the subject as it is now.
func (s *Store) Answer(ctx context.Context, token string, r Response) (Subject, error) {
	var subject Subject
	err := s.change(ctx, func(tx *sql.Tx) (err error) {
		if subject, err = findSubject(ctx, tx, token); err != nil {
			return err
		}
		switch {
		case subject.Number < 0:
			return ErrNoConsent
		case r.Trial < 0 || r.Trial > subject.Next || r.Trial >= s.design.Length():
			return ErrNotNext
		case r.Trial < subject.Next:
			return nil // sent twice
		}
		trial := s.design.Trials(subject.Number)[r.Trial]
		_, err = tx.ExecContext(ctx, "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", subject.ID, r.Trial, s.names[trial.Image],
			s.methodName(trial.Method), trial.OriginalLeft, string(r.Choice), r.Response, r.Shown, r.Views)
		if err == nil {
			subject.Next++
		}
		return err
	})
	if err != nil {
		return subject, fmt.Errorf("store answer: %w", err)
	}
	return subject, nil
}

// methodName is what the table calls a method; catch trials have none.
func (s *Store) methodName(method int) string {
	if method == foolrate.Catch {
		return ""
	}
	return s.method[method]
}

// Answers returns all answers, by the subjects' numbers and trials. Subjects are
// named by their numbers, not by their tokens.
func (s *Store) Answers(ctx context.Context) ([]foolrate.Answer, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT number, trial, image, method, original_left, choice, response_ms, shown_ms, views
		FROM answers JOIN subjects ON subjects.id = subject ORDER BY number, trial`)
	if err != nil {
		return nil, fmt.Errorf("read answers: %w", err)
	}
	defer rows.Close()
	var out []foolrate.Answer
	for rows.Next() {
		var a foolrate.Answer
		var number int
		if err := rows.Scan(&number, &a.Trial, &a.Image, &a.Method, &a.OriginalLeft, &a.Choice, &a.Response, &a.Shown, &a.Views); err != nil {
			return nil, fmt.Errorf("read answers: %w", err)
		}
		a.Subject = fmt.Sprintf("%04d", number)
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read answers: %w", err)
	}
	return out, nil
}

// Progress counts subjects: links given out, those who agreed, those who finished,
// and all answers.
type Progress struct{ Links, Agreed, Finished, Answers int }

// Progress says how far the study has come.
func (s *Store) Progress(ctx context.Context) (p Progress, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT count(*), count(number), (SELECT count(*) FROM answers WHERE trial = ?), (SELECT count(*) FROM answers) FROM subjects`,
		s.design.Length()-1).Scan(&p.Links, &p.Agreed, &p.Finished, &p.Answers)
	if err != nil {
		return p, fmt.Errorf("count subjects: %w", err)
	}
	return p, nil
}

// Unused returns the tokens of subjects who have not agreed yet, oldest first.
func (s *Store) Unused(ctx context.Context) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT token FROM subjects WHERE number IS NULL ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	defer rows.Close()
	var tokens []string
	for rows.Next() {
		var t string
		if err := rows.Scan(&t); err != nil {
			return nil, fmt.Errorf("read links: %w", err)
		}
		tokens = append(tokens, t)
	}
	return tokens, rows.Err()
}

// secret is the key from which image URLs are made. It is made once.
func (s *Store) secret(ctx context.Context) ([]byte, error) {
	_, err := s.db.ExecContext(ctx, "INSERT INTO meta VALUES ('secret', ?) ON CONFLICT DO NOTHING", rand.Text()+rand.Text())
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	var value string
	if err := s.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'secret'").Scan(&value); err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return []byte(value), nil
}
