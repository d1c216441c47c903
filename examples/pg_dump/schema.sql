--
-- PostgreSQL database dump
--

\restrict uv1NorRifEugByZuxyYcUQDCCddPfuAAS3VnY46i4JMWqR0zzhKn7HPsQfcbpyj

-- Dumped from database version 18.6
-- Dumped by pg_dump version 18.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: copy_state; Type: TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.copy_state AS ENUM (
    'on shelf',
    'lent',
    'lost'
);


ALTER TYPE public.copy_state OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: books; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.books (
    id bigint NOT NULL,
    isbn text NOT NULL,
    title text NOT NULL,
    author text NOT NULL
);


ALTER TABLE public.books OWNER TO postgres;

--
-- Name: books_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.books ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.books_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: copies; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.copies (
    id bigint NOT NULL,
    book_id bigint NOT NULL,
    state public.copy_state DEFAULT 'on shelf'::public.copy_state NOT NULL
);


ALTER TABLE public.copies OWNER TO postgres;

--
-- Name: copies_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.copies ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.copies_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: loans; Type: TABLE; Schema: public; Owner: librarian
--

CREATE TABLE public.loans (
    id bigint NOT NULL,
    copy_id bigint NOT NULL,
    member_id uuid NOT NULL,
    lent_on date DEFAULT CURRENT_DATE NOT NULL,
    due_on date NOT NULL,
    returned_on date,
    CONSTRAINT loans_check CHECK ((due_on > lent_on))
);


ALTER TABLE public.loans OWNER TO librarian;

--
-- Name: TABLE loans; Type: COMMENT; Schema: public; Owner: librarian
--

COMMENT ON TABLE public.loans IS 'A row without returned_on is a copy that is out.';


--
-- Name: loans_id_seq; Type: SEQUENCE; Schema: public; Owner: librarian
--

ALTER TABLE public.loans ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.loans_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: members; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.members (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    email text
);


ALTER TABLE public.members OWNER TO postgres;

--
-- Name: books books_isbn_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.books
    ADD CONSTRAINT books_isbn_key UNIQUE (isbn);


--
-- Name: books books_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.books
    ADD CONSTRAINT books_pkey PRIMARY KEY (id);


--
-- Name: copies copies_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.copies
    ADD CONSTRAINT copies_pkey PRIMARY KEY (id);


--
-- Name: loans loans_pkey; Type: CONSTRAINT; Schema: public; Owner: librarian
--

ALTER TABLE ONLY public.loans
    ADD CONSTRAINT loans_pkey PRIMARY KEY (id);


--
-- Name: members members_email_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_email_key UNIQUE (email);


--
-- Name: members members_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (id);


--
-- Name: copies_book_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX copies_book_id_idx ON public.copies USING btree (book_id);


--
-- Name: loans_member_id_due_on_idx; Type: INDEX; Schema: public; Owner: librarian
--

CREATE INDEX loans_member_id_due_on_idx ON public.loans USING btree (member_id, due_on);


--
-- Name: one_open_loan; Type: INDEX; Schema: public; Owner: librarian
--

CREATE UNIQUE INDEX one_open_loan ON public.loans USING btree (copy_id) WHERE (returned_on IS NULL);


--
-- Name: copies copies_book_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.copies
    ADD CONSTRAINT copies_book_id_fkey FOREIGN KEY (book_id) REFERENCES public.books(id) ON DELETE CASCADE;


--
-- Name: loans loans_copy_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: librarian
--

ALTER TABLE ONLY public.loans
    ADD CONSTRAINT loans_copy_id_fkey FOREIGN KEY (copy_id) REFERENCES public.copies(id);


--
-- Name: loans loans_member_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: librarian
--

ALTER TABLE ONLY public.loans
    ADD CONSTRAINT loans_member_id_fkey FOREIGN KEY (member_id) REFERENCES public.members(id);


--
-- Name: TABLE books; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.books TO librarian;


--
-- Name: TABLE copies; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.copies TO librarian;


--
-- PostgreSQL database dump complete
--

\unrestrict uv1NorRifEugByZuxyYcUQDCCddPfuAAS3VnY46i4JMWqR0zzhKn7HPsQfcbpyj

