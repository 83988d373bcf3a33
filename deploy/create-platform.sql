CREATE DATABASE platform OWNER schedule;
