-- Which endpoints a machine became when it was enrolled anew.
CREATE INDEX endpoint_by_former ON endpoint (former) WHERE former IS NOT NULL;
