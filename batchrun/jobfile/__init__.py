"""Reading: job files, item sources, prompt templates, item ids. Pure but for opening files; nothing here knows the service or the ledger.

load(path)            job lines -> JobFile with settings, problems, warnings
read_items(settings)  items in blocks, each with its file and line
compile_template      prompt -> Template
id_of, check_item     what `batchrun.prepare` asks of each item
write_job_line        a first job line for a data file
"""

from batchrun.jobfile.file import JobEntry, JobFile, load
from batchrun.jobfile.ids import IdOf, id_of
from batchrun.jobfile.items import check_item
from batchrun.jobfile.job import job_line_schema
from batchrun.jobfile.problems import Fault, Problems, ProblemSink
from batchrun.jobfile.propose import job_line_text, write_job_line
from batchrun.jobfile.sources import BLOCK_COUNT, ItemBlock, read_items
from batchrun.jobfile.template import Template, TemplateError, Where, compile_template

__all__ = [
    "BLOCK_COUNT",
    "Fault",
    "IdOf",
    "ItemBlock",
    "JobEntry",
    "JobFile",
    "ProblemSink",
    "Problems",
    "Template",
    "TemplateError",
    "Where",
    "check_item",
    "compile_template",
    "id_of",
    "job_line_schema",
    "job_line_text",
    "load",
    "read_items",
    "write_job_line",
]
