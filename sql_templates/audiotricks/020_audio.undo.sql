-- Without CASCADE: what somebody else hung on these tables is not dropped silently.
DROP TABLE audio_chunks, audio_segments, processing_jobs, audio_uploads;
